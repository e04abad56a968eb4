"""Render the demo's videos as a folder of plain files, without annotations, with the questions about them."""

import argparse
from pathlib import Path

from nep.cli import run_entry_point
from nep.config.base import load_block
from nep.config.demo_videos import DemoVideos
from nep.demo.hub_layout import write_demo_videos


def main() -> None:
    """Read the options and write the folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--videos", required=True, help="config block 'demo.videos' as JSON")
    parser.add_argument("--processes", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--out-dir", type=Path, required=True, help="folder of plain videos to write")
    options = parser.parse_args()
    spec = load_block(DemoVideos, options.videos, processes=options.processes)
    write_demo_videos(spec, options.seed, options.out_dir)


if __name__ == "__main__":
    run_entry_point(main)
