"""Merge the signatures of all shards."""

import argparse
from pathlib import Path

from nep.cli import run_entry_point
from nep.dedup.stage import merge_hashes


def main() -> None:
    """Read the options and merge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shard-files", type=Path, nargs="+", required=True, help="<k>-of-<n>.jsonl of every shard")
    parser.add_argument("--out", type=Path, required=True, help="signatures to write (JSON lines, sorted by id)")
    options = parser.parse_args()
    merge_hashes(options.shard_files, options.out)


if __name__ == "__main__":
    run_entry_point(main)
