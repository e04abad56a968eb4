"""Memory that the preflight names before a training, and what the training then takes.

    PYTHONPATH=scripts .venv/bin/python benchmarks/train_memory.py

Through the two trainers themselves, one process on the CPU, random models and text, a checkpoint after each step. Taken
is the largest resident memory of the steps, less what a run of a model of a few thousand weights has beyond its table:
Python and its libraries. Writes `benchmarks/results/train_memory.json`.
"""

import argparse
import shutil
from dataclasses import dataclass, field
from typing import Any, Literal

from measure import WORK, write_result
from nep.config.grpo import Grpo
from nep.config.sft import Sft
from nep.files import read_jsonl
from nep.train.engine import deepspeed_config
from nep.train.runtime.preflight import memory_lines, model_size
from random_run import make_model, make_run, train

SMALLEST = {"hidden_size": 32, "layers": 1, "heads": 2}
MODELS = {
    "30 M": {"hidden_size": 512, "layers": 10, "heads": 8},
    "100 M": {"hidden_size": 768, "layers": 16, "heads": 12},
}
ROWS, WORDS, STEPS = 16, 480, 2
BLOCKS = {"sft": Sft, "grpo": Grpo}
RECIPES = {
    "sft": {"datasets": {"next_event": None}, "epochs": STEPS, "batch_size": ROWS, "validation_samples": 0},
    "grpo": {
        "datasets": {"next_event_mc": None},
        "steps": STEPS,
        "prompts_per_step": 2,
        "completions": 8,
        "max_prompt_tokens": 1024,
        "max_new_tokens": 64,
        "kl_coef": 0.01,
        "rewards": {"benchmarks.grpo_reward:share_of_vowels": 1.0},
    },
}


@dataclass(frozen=True)
class Case:
    """A model, a stage, and what its recipe changes."""

    name: str
    model: str
    stage: Literal["sft", "grpo"]
    changes: dict[str, Any] = field(default_factory=dict)


CASES = [
    Case("SFT, rows of 2,048 tokens", "30 M", "sft", {"pack_tokens": 2048}),
    Case("SFT, rows of 2,048 tokens", "100 M", "sft", {"pack_tokens": 2048}),
    Case("SFT, rows of 8,192 tokens", "100 M", "sft", {"pack_tokens": 8192}),
    Case(
        "SFT, rows of 8,192 tokens, gradient checkpointing",
        "100 M",
        "sft",
        {"pack_tokens": 8192, "gradient_checkpointing": True},
    ),
    Case("SFT, bf16", "100 M", "sft", {"pack_tokens": 2048, "precision": "bf16"}),
    Case("SFT, LoRA", "100 M", "sft", {"pack_tokens": 2048, "lora": {"rank": 16}}),
    Case("GRPO", "100 M", "grpo", {"pack_tokens": 2048}),
]


def main() -> None:
    """Measure, write the result file and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    shutil.rmtree(WORK / "memory", ignore_errors=True)
    for name, size in {"smallest": SMALLEST, **MODELS}.items():
        make_model(WORK / "memory" / name, size)
    beside = {
        stage: taken(case) - named(case)
        for stage in RECIPES
        for case in [Case("", "smallest", stage, {"pack_tokens": 256})]
    }
    rows = []
    for case in CASES:
        row = {"case": case.name, "model": case.model, "named": named(case), "taken": taken(case) - beside[case.stage]}
        rows.append({**row, "named_of_taken": row["named"] / row["taken"]})
        print("{model:>6}, {case:50} named {named:>14,} bytes, {named_of_taken:.2f} of those taken".format(**rows[-1]))
    write_result("train_memory", {"beside": beside, "rows": rows})


def recipe(case: Case) -> dict[str, Any]:
    """The config block of the stage."""
    return {**RECIPES[case.stage], **case.changes}


def named(case: Case) -> int:
    """Bytes of the preflight's table."""
    block = BLOCKS[case.stage](**recipe(case))
    lines = memory_lines(
        model_size(WORK / "memory" / case.model, block), block, deepspeed_config(block), 1, on_gpu=False
    )
    return sum(line.bytes for line in lines)


def taken(case: Case) -> int:
    """Largest resident memory of the steps, in bytes."""
    run = WORK / "memory/run"
    shutil.rmtree(run, ignore_errors=True)
    paths = make_run(run, WORK / "memory" / case.model, ROWS, WORDS)
    train(case.stage, recipe(case), paths, checkpoint_minutes=0)
    return max(row["peak_memory_bytes"] for row in read_jsonl(paths.out / "timings.jsonl"))


if __name__ == "__main__":
    main()
