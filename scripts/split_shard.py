"""Cut the videos of one shard at their split times, and write the shard's manifest."""

import argparse
from pathlib import Path

from nep.cli import run_entry_point
from nep.config.base import load_block
from nep.config.split import Split
from nep.fingerprint import code_fingerprint
from nep.split.stage import split_shard


def main() -> None:
    """Read the options and split one shard."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=Path, required=True, help="records.jsonl")
    parser.add_argument("--videos", type=Path, required=True, help="folder below which the records' videos lie")
    parser.add_argument("--split", required=True, help="config block 'split' as JSON")
    parser.add_argument("--processes", type=int, required=True)
    parser.add_argument("--shard", type=int, required=True, help="number of this shard, from 1")
    parser.add_argument("--shards", type=int, required=True, help="number of shards")
    parser.add_argument("--run-dir", type=Path, required=True, help="folder of the run; segments are written below it")
    parser.add_argument("--out", type=Path, required=True, help="manifest of the shard to write (JSON lines)")
    options = parser.parse_args()
    split_shard(
        records=options.records,
        videos=options.videos,
        split=load_block(Split, options.split, processes=options.processes),
        shard=options.shard,
        shards=options.shards,
        run_dir=options.run_dir,
        out=options.out,
        code=code_fingerprint(Path(__file__), Path(__file__).parent),
    )


if __name__ == "__main__":
    run_entry_point(main)
