"""Make control videos of the evaluation questions: the first parts with their frames shuffled, or one frame held."""

import argparse
from pathlib import Path
from typing import get_args

from nep.cli import run_entry_point
from nep.config.questions import VideoControl
from nep.evaluate.controls import make_controls


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--questions", type=Path, required=True, help="RUN/convert/futurebench.jsonl")
    parser.add_argument("--control", choices=get_args(VideoControl), required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--run-dir", type=Path, required=True)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True, help="RUN/evaluate/controls/<control>.json")
    make_controls(**vars(parser.parse_args()))


if __name__ == "__main__":
    run_entry_point(main)
