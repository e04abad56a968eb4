"""Cache the sampled frames, and the frozen vision tower's output, of the clips of one shard."""

import argparse
from pathlib import Path

import torch

from nep.cli import run_entry_point
from nep.config.base import load_block
from nep.config.encode import Encode
from nep.config.vision import Vision
from nep.encode import stage
from nep.encode.needed import needed_clips
from nep.encode.selected import read_selections
from nep.fingerprint import code_fingerprint


def main() -> None:
    """Read the options and encode one shard."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--selections", required=True, help="whose clips are encoded: a list of `Selection` as JSON")
    parser.add_argument("--convert-dir", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--vision", required=True, help="config block 'vision' as JSON")
    parser.add_argument("--encode", required=True, help="config block 'encode' as JSON")
    parser.add_argument("--model", type=Path, required=True, help="checkpoint folder of the base model")
    parser.add_argument("--model-manifest", type=Path, required=True, help="manifest of the base model (JSON)")
    parser.add_argument("--processes", type=int, required=True)
    parser.add_argument("--shard", type=int, required=True, help="number of this shard, from 1")
    parser.add_argument("--shards", type=int, required=True, help="number of shards")
    parser.add_argument("--run-dir", type=Path, required=True, help="folder of the run")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch; results may depend on it")
    parser.add_argument("--out", type=Path, required=True, help="manifest of the shard to write (JSON)")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    selections = read_selections(options.selections)
    rows = (row for selection in selections for row in selection.rows(options.convert_dir, options.seed))
    stage.encode_shard(
        needed=needed_clips(rows),
        vision=load_block(Vision, options.vision),
        encode=load_block(Encode, options.encode, processes=options.processes),
        model=options.model,
        model_manifest=options.model_manifest,
        shard=options.shard,
        shards=options.shards,
        run_dir=options.run_dir,
        out=options.out,
        # What has been read is kept where other clips are selected.
        code=code_fingerprint(Path(stage.__file__), Path(__file__).parent),
    )


if __name__ == "__main__":
    run_entry_point(main)
