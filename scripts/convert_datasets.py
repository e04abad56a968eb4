"""Make the data sets for training and evaluation from records and segments."""

import argparse
from pathlib import Path

from nep.cli import run_entry_point
from nep.config.base import load_block
from nep.config.convert import Convert
from nep.data.convert import convert_run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=Path, required=True, help="records.jsonl")
    parser.add_argument("--questions", type=Path, required=True, help="questions.jsonl")
    parser.add_argument("--seedbench", type=Path, required=True, help="seedbench_r1.jsonl")
    parser.add_argument("--split-manifest", type=Path, required=True, help="manifest.jsonl of the split")
    parser.add_argument("--signatures", type=Path, nargs="?", help="signatures.jsonl, where videos are to be held out")
    parser.add_argument(
        "--written", type=Path, nargs="?", help="training.json of the stage questions, where it wrote any"
    )
    parser.add_argument("--convert", required=True, help="config block as JSON")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--out-dir", type=Path, required=True)
    options = parser.parse_args()
    convert_run(
        options.records,
        options.questions,
        options.split_manifest,
        load_block(Convert, options.convert),
        options.seed,
        options.out_dir,
        options.seedbench,
        options.signatures,
        options.written,
    )


if __name__ == "__main__":
    run_entry_point(main)
