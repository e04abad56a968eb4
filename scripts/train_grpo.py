"""Train a model by GRPO on multiple-choice questions: `python` for one process, `torchrun --nproc_per_node n` for n."""

import argparse
from pathlib import Path

from nep.config import Grpo, load_block
from nep.errors import run_entry_point
from nep.train.grpo import train_grpo
from nep.train.run_state import RunPaths


def main() -> None:
    """Read the options and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--grpo", required=True, help="config block 'grpo' as JSON")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--experiment", required=True)
    parser.add_argument("--convert-dir", type=Path, required=True)
    parser.add_argument("--encode-dir", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True, help="start model, an ordinary checkpoint folder")
    parser.add_argument("--model-manifest", type=Path, required=True, help="its manifest with the key 'fingerprint'")
    parser.add_argument("--run-dir", type=Path, required=True)
    parser.add_argument("--out-dir", type=Path, required=True)
    options = parser.parse_args()
    paths = RunPaths(
        convert=options.convert_dir,
        encode=options.encode_dir,
        model=options.model,
        model_manifest=options.model_manifest,
        run=options.run_dir,
        out=options.out_dir,
    )
    train_grpo(load_block(Grpo, options.grpo), options.seed, options.experiment, paths)


if __name__ == "__main__":
    run_entry_point(main)
