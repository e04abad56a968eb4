"""Merge the videos of all shards, without those that are too short, too long, or copies of another."""

import argparse
from pathlib import Path

from nep.cli import run_entry_point
from nep.config.base import load_block
from nep.config.shots import Shots
from nep.shots.stage import merge_shots


def main() -> None:
    """Read the options and merge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shard-files", type=Path, nargs="+", required=True, help="<k>-of-<n>.jsonl of every shard")
    parser.add_argument("--questions", type=Path, required=True, help="futurebench.json of the download")
    parser.add_argument("--shots", required=True, help="config block 'shots' as JSON")
    parser.add_argument("--out", type=Path, required=True, help="shots.jsonl to write")
    parser.add_argument("--rejected", type=Path, required=True, help="rejected.jsonl to write")
    options = parser.parse_args()
    shots = load_block(Shots, options.shots)
    merge_shots(options.shard_files, options.questions, shots, options.out, options.rejected)


if __name__ == "__main__":
    run_entry_point(main)
