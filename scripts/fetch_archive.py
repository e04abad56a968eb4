"""Fetch, verify and extract one archive of the data set."""

import argparse
from pathlib import Path

from nep.cli import run_entry_point
from nep.config.base import load_block
from nep.config.source import Source
from nep.download.dataset import drop_archive, fetch_archive
from nep.files import read_json, write_json


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", required=True, help="config block 'source' as JSON")
    parser.add_argument("--listing", type=Path, required=True, help="listing of the source")
    parser.add_argument("--name", required=True, help="the archive's name in the listing")
    parser.add_argument("--run-dir", type=Path, required=True, help="root of the run")
    parser.add_argument("--out", type=Path, required=True, help="manifest to write")
    arguments = parser.parse_args()
    source = load_block(Source, arguments.source)
    manifest = fetch_archive(source, read_json(arguments.listing), arguments.name, arguments.run_dir)
    write_json(arguments.out, manifest)
    drop_archive(source, arguments.name, arguments.run_dir)


if __name__ == "__main__":
    run_entry_point(main)
