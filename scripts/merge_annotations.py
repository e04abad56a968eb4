"""Merge the annotations of all shards into the published form."""

import argparse
from pathlib import Path

from nep.annotate.stage import merge_annotations
from nep.cli import run_entry_point


def main() -> None:
    """Read the options and merge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shard-files", type=Path, nargs="+", required=True, help="<k>-of-<n>.jsonl of every shard")
    parser.add_argument("--usage-files", type=Path, nargs="+", required=True, help="<k>-of-<n>.json of every shard")
    parser.add_argument(
        "--max-failed-fraction", type=float, required=True, help="share of the videos that may lack an answer"
    )
    parser.add_argument("--out-dir", type=Path, required=True, help="folder of the files to write")
    options = parser.parse_args()
    merge_annotations(options.shard_files, options.usage_files, options.max_failed_fraction, options.out_dir)


if __name__ == "__main__":
    run_entry_point(main)
