"""Seconds of a training step against what drives them: tokens of a sample (SFT), completions and frames (GRPO).

    PYTHONPATH=scripts .venv/bin/python benchmarks/train_costs.py [--device cuda --precision bf16] [--model FOLDER]

Through the two trainers themselves, on random clips with cached features: four samples a step of SFT, two prompts a
step of GRPO with completions of 64 tokens. The tiny random model unless a checkpoint folder is named (which may end
completions early). All points of a line in turn, the median of the steps after the first. Writes
`benchmarks/results/train_costs.json`.
"""

import argparse
import shutil
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from measure import WORK, write_result
from nep.errors import InputError
from nep.files import read_jsonl
from nep.train.runtime.options import RunPaths
from random_run import make_model, make_run, train

STEPS = 4
WORDS, FRAMES, SAMPLES, PROMPTS = 100, 8, 4, 2
RECIPES = {
    "sft": {"datasets": {"next_event": None}, "epochs": STEPS, "batch_size": SAMPLES, "validation_samples": 0},
    "grpo": {
        "datasets": {"next_event_mc": None},
        "steps": STEPS,
        "prompts_per_step": PROMPTS,
        "completions": 8,
        "max_new_tokens": 64,
        "rewards": {"benchmarks.grpo_reward:share_of_vowels": 1.0},
    },
}
ROWS = {"sft": SAMPLES, "grpo": PROMPTS}
Stage = Literal["sft", "grpo"]


@dataclass(frozen=True)
class Point:
    """One run: the value of what is varied, and what that makes of the data and of the recipe."""

    stage: Stage
    value: int
    words: int = WORDS
    frames: int = FRAMES
    changes: tuple[tuple[str, int], ...] = ()

    @property
    def recipe(self) -> dict[str, Any]:
        """The config block of the stage."""
        return {**RECIPES[self.stage], **dict(self.changes)}


LINES = {
    "SFT, words of a question": [Point("sft", n, words=n) for n in (100, 200, 400, 800, 1600)],
    "GRPO, completions of a prompt": [Point("grpo", n, changes=(("completions", n),)) for n in (2, 4, 8, 16)],
    "GRPO, frames of a clip": [Point("grpo", n, frames=n) for n in (4, 8, 16, 32, 64)],
}


def main() -> None:
    """Measure, write the result file and print the lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--model", type=Path, help="a checkpoint folder instead of the tiny random model")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--lines", nargs="+", choices=LINES, default=list(LINES))
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda: torch finds no CUDA device")
    shutil.rmtree(WORK / "costs", ignore_errors=True)
    model = options.model or WORK / "costs/model"
    if options.model is None:
        make_model(model, {})
    lines = {}
    for name in options.lines:
        lines[name] = measure(LINES[name], model, options.device, options.precision, options.rounds)
        print(name, *(f"{point['value']}: {point['seconds']:.3f} s" for point in lines[name]), sep="\n  ")
    setting = {"device": options.device, "model": str(options.model or "tiny"), "precision": options.precision}
    write_result("train_costs", {**setting, "rounds": options.rounds, "lines": lines})


def measure(points: list[Point], model: Path, device: str, precision: str, rounds: int) -> list[dict[str, Any]]:
    """A row for each point: `value`, the median `seconds` of a step, and all `steps` that it is the median of."""
    runs = [made(point, model) for point in points]
    seconds: list[list[float]] = [[] for _ in points]
    for _ in range(rounds):
        for point, paths, found in zip(points, runs, seconds, strict=True):
            train(point.stage, {**point.recipe, "precision": precision}, paths, device)
            found += [row["seconds"] for row in read_jsonl(paths.out / "timings.jsonl")[1:]]
    return [
        {"value": point.value, "seconds": statistics.median(found), "steps": found}
        for point, found in zip(points, seconds, strict=True)
    ]


def made(point: Point, model: Path) -> RunPaths:
    """The run folder of a point."""
    folder = WORK / f"costs/{point.stage}-{point.words}-{point.frames}-{point.value}"
    return make_run(folder, model, ROWS[point.stage], point.words, point.frames)


if __name__ == "__main__":
    main()
