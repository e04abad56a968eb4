"""Bring the annotation files and write the manifest of the download."""

import argparse
from pathlib import Path

from nep.cli import run_entry_point
from nep.config.base import load_block
from nep.config.source import Source
from nep.download.dataset import finish_download
from nep.files import read_json, write_json


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", required=True, help="config block 'source' as JSON")
    parser.add_argument("--listing", type=Path, required=True, help="listing of the source")
    parser.add_argument("--frames", type=Path, nargs="*", default=[], help="what became of the folders of images")
    parser.add_argument("--run-dir", type=Path, required=True, help="root of the run")
    parser.add_argument("--out", type=Path, required=True, help="manifest to write")
    parser.add_argument("--videos", type=Path, required=True, help="its part about the videos, to write apart")
    arguments = parser.parse_args()
    source = load_block(Source, arguments.source)
    summary = finish_download(source, read_json(arguments.listing), arguments.run_dir, arguments.frames)
    write_json(arguments.videos, summary["videos"])
    write_json(arguments.out, summary)


if __name__ == "__main__":
    run_entry_point(main)
