"""List the archives and annotation files of the data set's source."""

import argparse
from pathlib import Path

from nep.cli import run_entry_point
from nep.config.base import load_block
from nep.config.source import Source
from nep.download.dataset import list_source
from nep.files import write_json


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", required=True, help="config block 'source' as JSON")
    parser.add_argument("--out", type=Path, required=True, help="listing to write")
    arguments = parser.parse_args()
    write_json(arguments.out, list_source(load_block(Source, arguments.source)))


if __name__ == "__main__":
    run_entry_point(main)
