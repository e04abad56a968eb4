"""Evaluate one model through lmms-eval: all variants and controls of FutureBench, one process, one load."""

import argparse
from pathlib import Path

from nep.config import Evaluate, Vision, load_block
from nep.errors import run_entry_point
from nep.evaluation.run import Job, evaluate_model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model-dir", type=Path, required=True, help="checkpoint folder")
    parser.add_argument("--model-name", required=True, help="base, <experiment>-sft or <experiment>-grpo")
    parser.add_argument("--model-manifest", type=Path, required=True, help="JSON file with the model's fingerprint")
    parser.add_argument("--questions", type=Path, required=True, help="RUN/convert/futurebench.jsonl")
    parser.add_argument("--controls-dir", type=Path, required=True, help="RUN/evaluate/controls")
    parser.add_argument("--prompts", type=Path, required=True, help="config/prompts.yaml")
    parser.add_argument("--vision", required=True, help="config block as JSON")
    parser.add_argument("--evaluate", required=True, help="config block as JSON")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--run-dir", type=Path, required=True)
    parser.add_argument("--out-dir", type=Path, required=True, help="RUN/evaluate/<model name>")
    arguments = vars(parser.parse_args())
    vision = load_block(Vision, arguments.pop("vision"))
    evaluate = load_block(Evaluate, arguments.pop("evaluate"))
    evaluate_model(Job(vision=vision, evaluate=evaluate, **arguments))


if __name__ == "__main__":
    run_entry_point(main)
