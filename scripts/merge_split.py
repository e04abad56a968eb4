"""Merge the split manifests of all shards; end here if too many videos are quarantined."""

import argparse
from pathlib import Path

from nep.cli import run_entry_point
from nep.config.base import load_block
from nep.config.split import Split
from nep.split.stage import merge_split


def main() -> None:
    """Read the options and merge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shard-files", type=Path, nargs="+", required=True, help="<k>-of-<n>.jsonl of every shard")
    parser.add_argument("--rejected", type=Path, help="rejected.jsonl of the records stage")
    parser.add_argument("--split", required=True, help="config block 'split' as JSON")
    parser.add_argument("--out", type=Path, required=True, help="manifest to write (JSON lines, sorted by id)")
    options = parser.parse_args()
    merge_split(options.shard_files, options.rejected, load_block(Split, options.split), options.out)


if __name__ == "__main__":
    run_entry_point(main)
