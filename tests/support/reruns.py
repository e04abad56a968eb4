"""Which rules a key of the configuration runs again: the table that docs/reruns.md shows and the tests check."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nep.config import HOW_IT_IS_RUN, Block, Config

# The rules that read a key or a block; those after them follow. The report shows all settings.
READERS = {
    "seed": (
        "make_demo_data",
        "make_tiny_model",
        "convert_datasets",
        "train_sft",
        "train_grpo",
        "make_controls",
        "evaluate_model",
    ),
    "source": ("list_source", "finish_download"),
    "demo.videos": ("make_demo_data",),
    "demo.model": ("make_tiny_model",),
    "model": ("fetch_model",),
    "split.shards": ("split_shard", "hash_shard"),
    "split.timeout_s": ("split_shard", "hash_shard"),
    "split.max_quarantine_fraction": ("merge_split",),
    "split": ("split_shard",),
    "vision": ("make_tiny_model", "encode_shard", "evaluate_model"),
    "encode": ("encode_shard",),
    "convert.prompts": ("make_demo_data", "make_tiny_model", "convert_datasets", "evaluate_model"),
    "convert": ("convert_datasets",),
    "sft": ("train_sft",),
    "grpo": ("train_grpo",),
    "evaluate": ("evaluate_model",),
    "report": (),
}
# Of the two training blocks, whose keys are all passed in one piece, a few stand for the others.
TRAINING = {"sft.lr", "sft.deepspeed", "sft.datasets", "sft.processes", "sft.checkpoint_every", "sft.keep_checkpoints"}
TRAINING |= {"grpo.steps", "grpo.rewards", "grpo.processes", "grpo.checkpoint_every"}
# Keys that only name another place of the same kind, or belong to another kind of source or model.
NOT_CHANGED = {"run", "source.kind", "source.repo", "source.revision", "source.seedbench_r1", "source.columns"}
NOT_CHANGED |= {"model.kind", "model.repo", "model.revision", "evaluate.tasks", "evaluate.model_type"}


def keys_of(config: Config) -> list[tuple[str, Any]]:
    """The keys to change, with their values."""
    leaves = _leaves(config, "")
    return [
        (key, value)
        for key, value in leaves
        if key not in NOT_CHANGED and (key in TRAINING or not key.startswith(("sft.", "grpo.", "experiments")))
    ]


def direct_rules(key: str) -> tuple[str, ...]:
    """The rules that read a key."""
    if key.rpartition(".")[2] in HOW_IT_IS_RUN:
        return ()
    block = max((name for name in READERS if f"{key}.".startswith(f"{name}.")), key=len)
    return (*READERS[block], "make_report")


def table(plans: dict[str, set[str]]) -> list[tuple[str, str]]:
    """Rows (key, rules that run again) of the documented table, in the order of the configuration."""
    return [(key, ", ".join(sorted(rules)) or "nothing") for key, rules in plans.items()]


def documented(page: Path) -> list[tuple[str, str]]:
    """The rows of the table in a Markdown page."""
    rows = [line.strip("| ").split(" | ") for line in page.read_text(encoding="utf-8").splitlines() if "| `" in line]
    return [(key.strip("`"), rules) for key, rules in rows]


def _leaves(block: Block, prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in block:
        if isinstance(value, Block):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value
