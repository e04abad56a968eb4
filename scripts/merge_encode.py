"""Merge the manifests of all encode shards into one index, and write each training's part of it."""

import argparse
from pathlib import Path

from nep.cli import run_entry_point
from nep.encode.index import merge_encode, write_parts
from nep.encode.needed import needed_clips
from nep.encode.selected import read_selections


def main() -> None:
    """Read the options and merge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shard-files", type=Path, nargs="+", required=True, help="<k>-of-<n>.json of every shard")
    parser.add_argument("--run-dir", type=Path, required=True, help="folder of the run")
    parser.add_argument("--selections", required=True, help="what each training takes: a list of `Selection` as JSON")
    parser.add_argument("--convert-dir", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True, help="index to write (JSON lines, sorted by key)")
    parser.add_argument("--parts", type=Path, required=True, help="folder for the part of the index of each training")
    options = parser.parse_args()
    merge_encode(options.shard_files, options.run_dir, options.out)
    parts = {
        options.parts / f"{selection.name}.jsonl": needed_clips(selection.rows(options.convert_dir, options.seed))
        for selection in read_selections(options.selections)
    }
    write_parts(options.out, {file: [clip.key for clip in clips] for file, clips in parts.items()})


if __name__ == "__main__":
    run_entry_point(main)
