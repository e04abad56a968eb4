"""Merge the manifests of all encode shards into one index, after checking the cache files."""

import argparse
from pathlib import Path

from nep.cli import run_entry_point
from nep.encode.index import merge_encode


def main() -> None:
    """Read the options and merge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shard-files", type=Path, nargs="+", required=True, help="<k>-of-<n>.json of every shard")
    parser.add_argument("--run-dir", type=Path, required=True, help="folder of the run")
    parser.add_argument("--out", type=Path, required=True, help="index to write (JSON lines, sorted by key)")
    options = parser.parse_args()
    merge_encode(options.shard_files, options.run_dir, options.out)


if __name__ == "__main__":
    run_entry_point(main)
