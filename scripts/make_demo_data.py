"""Render the demo's videos and write them, with annotations and questions, in the layout of V1-33K."""

import argparse
from pathlib import Path

from nep.cli import run_entry_point
from nep.config.base import load_block
from nep.config.demo_videos import DemoVideos
from nep.data.prompts import load_prompts
from nep.demo.hub_layout import write_demo_hub


def main() -> None:
    """Read the options and write the folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--videos", required=True, help="config block 'demo.videos' as JSON")
    parser.add_argument("--processes", type=int, required=True)
    parser.add_argument("--prompts", type=Path, required=True, help="config/prompts.yaml")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--out-dir", type=Path, required=True, help="folder in the hub's layout to write")
    options = parser.parse_args()
    write_demo_hub(
        spec=load_block(DemoVideos, options.videos, processes=options.processes),
        prompts=load_prompts(options.prompts),
        seed=options.seed,
        folder=options.out_dir,
    )


if __name__ == "__main__":
    run_entry_point(main)
