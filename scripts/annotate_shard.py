"""Annotate the plain videos of one shard by the models that the configuration names."""

import argparse
from pathlib import Path

from nep.annotate.stage import annotate_shard
from nep.cli import run_entry_point
from nep.config.annotate import Annotate
from nep.config.base import load_block
from nep.fingerprint import code_fingerprint


def main() -> None:
    """Read the options and annotate one shard."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shots", type=Path, required=True, help="shots.jsonl")
    parser.add_argument("--videos", type=Path, required=True, help="folder below which the videos lie")
    parser.add_argument("--annotate", required=True, help="config block 'annotate' as JSON")
    parser.add_argument("--processes", type=int, required=True)
    parser.add_argument("--shard", type=int, required=True, help="number of this shard, from 1")
    parser.add_argument("--shards", type=int, required=True, help="number of shards")
    parser.add_argument("--run-dir", type=Path, required=True, help="folder of the run")
    parser.add_argument("--out", type=Path, required=True, help="rows of the shard to write (JSON lines)")
    parser.add_argument("--usage", type=Path, required=True, help="tokens and money by step to write (JSON)")
    options = parser.parse_args()
    annotate_shard(
        options.shots,
        videos=options.videos,
        annotate=load_block(Annotate, options.annotate, processes=options.processes),
        shard=options.shard,
        shards=options.shards,
        run_dir=options.run_dir,
        out=options.out,
        usage=options.usage,
        code=code_fingerprint(Path(__file__), Path(__file__).parent),
    )


if __name__ == "__main__":
    run_entry_point(main)
