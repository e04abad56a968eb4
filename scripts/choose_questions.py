"""Choose which questions the benchmark and the training take, by what was measured and what reviewers decided."""

import argparse
from pathlib import Path

from nep.cli import run_entry_point
from nep.config.base import load_block
from nep.config.own_benchmark import OwnBenchmark
from nep.own_benchmark.choose import choose_questions


def main() -> None:
    """Read the options and choose."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--questions", type=Path, required=True, help="questions.jsonl")
    parser.add_argument("--reviews", type=Path, nargs="*", default=[], help="decisions of each reviewer")
    parser.add_argument("--choice", required=True, help="the keys of the config block 'questions' that choose, as JSON")
    parser.add_argument("--out-dir", type=Path, required=True, help="folder of the files to write")
    options = parser.parse_args()
    how = load_block(OwnBenchmark, options.choice)
    manifest = choose_questions(options.questions, options.reviews, how, options.out_dir)
    for role, chosen in manifest["chosen"].items():
        print(f"{role}: {chosen['questions']} of {manifest['measured'][role]['questions']} questions")


if __name__ == "__main__":
    run_entry_point(main)
