"""Sign the videos of one shard, so that an evaluation video is recognised in the training videos."""

import argparse
from pathlib import Path

from nep.cli import run_entry_point
from nep.dedup.stage import files_by_id, hash_shard
from nep.fingerprint import code_fingerprint


def main() -> None:
    """Read the options and sign one shard."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=Path, required=True, help="records.jsonl")
    parser.add_argument("--seedbench", type=Path, required=True, help="seedbench_r1.jsonl")
    parser.add_argument("--videos", type=Path, required=True, help="folder below which the videos lie")
    parser.add_argument("--shard", type=int, required=True, help="number of this shard, from 1")
    parser.add_argument("--shards", type=int, required=True, help="number of shards")
    parser.add_argument("--processes", type=int, required=True)
    parser.add_argument("--timeout-s", type=float, required=True, help="limit of one video in seconds")
    parser.add_argument("--run-dir", type=Path, required=True, help="folder of the run")
    parser.add_argument("--out", type=Path, required=True, help="rows of the shard to write (JSON lines)")
    options = parser.parse_args()
    hash_shard(
        files_by_id(options.records, options.seedbench),
        videos=options.videos,
        shard=options.shard,
        shards=options.shards,
        processes=options.processes,
        timeout_s=options.timeout_s,
        run_dir=options.run_dir,
        out=options.out,
        code=code_fingerprint(Path(__file__), Path(__file__).parent),
    )


if __name__ == "__main__":
    run_entry_point(main)
