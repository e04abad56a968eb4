"""Which rules a key of the configuration or a module runs again: what docs/reruns.md shows and the tests check."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from support.environments import scripts_in

from nep.config.base import EXECUTION_ONLY, Block
from nep.config.whole import Config
from nep.fingerprint import local_closure
from nep.workflow.rule_graph import parse_rulegraph

TEXT = """# What runs again

Rules that run again in a finished demo after one key of the configuration has changed. An experiment's own `sft` and
`grpo` concern that experiment alone; where they select other samples, new clips are encoded first.
`tests/e2e/test_reruns.py` changes each key (of `sft` and `grpo`, which reach their rules in one piece, some) and
compares Snakemake's plan with this table; `make reruns` writes it anew.

What is planned is the most that can run: where `convert_datasets` finds its files unchanged, nothing after it runs, and
after `merge_encode` only trainings whose own clips have changed. A file that a rule reads (prompts, a DeepSpeed file, a
reward function) counts by its content. What the profile says (partition, GPUs, memory, time) never counts.

"""
MODULES = """
After a change of a module's logic the rules whose script imports it run again, and those that follow from them. Of each
row, which lists modules that the same rules import, the tests change one. Comments, docstrings and format do not count.

"""
RULE = re.compile(r"^(?:rule|checkpoint) (\w+):(.*?)(?=^rule |^checkpoint |\Z)", re.MULTILINE | re.DOTALL)
# Keys of a training that decide which clips are encoded.
SELECTING = ("datasets", "balance_sources", "validation_samples")
# The rules that read a key or a block; those after them follow. The report shows all settings.
READERS = {
    "seed": (
        "make_demo_data",
        "make_tiny_model",
        "convert_datasets",
        "encode_shard",
        "merge_encode",
        "train_sft",
        "train_grpo",
        "make_controls",
        "evaluate_model",
    ),
    "source": ("list_source", "finish_download"),
    "demo.videos": ("make_demo_data",),
    "demo.model": ("make_tiny_model",),
    # Of plain videos alone, which a finished demo has not.
    "shots": (),
    "model": ("fetch_model",),
    "split.shards": ("split_shard", "hash_shard"),
    "split.timeout_s": ("split_shard", "hash_shard"),
    "split.max_quarantine_fraction": ("merge_split",),
    "split": ("split_shard",),
    "vision": ("make_tiny_model", "encode_shard", "evaluate_model"),
    "encode": ("encode_shard",),
    "convert.prompts": ("make_demo_data", "make_tiny_model", "convert_datasets", "evaluate_model"),
    "convert": ("convert_datasets",),
    **{f"sft.{key}": ("encode_shard", "merge_encode", "train_sft") for key in SELECTING},
    **{f"grpo.{key}": ("encode_shard", "merge_encode", "train_grpo") for key in (*SELECTING, "visual_gain")},
    "sft": ("train_sft",),
    "grpo": ("train_grpo",),
    "encode.dtype": ("encode_shard", "evaluate_model"),
    "evaluate": ("evaluate_model",),
    "report": (),
}
# Of the two training blocks, whose keys are all passed in one piece, a few are tried.
TRAINING = {"sft.lr", "sft.deepspeed", "sft.nodes", "sft.processes", "sft.checkpoint_minutes", "sft.keep_checkpoints"}
TRAINING |= {
    "sft.validation_samples",
    "sft.tracker",
    "grpo.tracker",
    "grpo.steps",
    "grpo.rewards",
    "grpo.visual_gain",
    "grpo.nodes",
    "grpo.processes",
    "grpo.checkpoint_minutes",
}
# Keys that only name another place of the same kind, or belong to another kind of source or model.
NOT_CHANGED = {"run", "source.kind", "source.repo", "source.revision", "source.seedbench_r1", "source.columns"}
NOT_CHANGED |= {"source.frame_folders"}
NOT_CHANGED |= {"annotate", "questions"}
NOT_CHANGED |= {"model.kind", "model.repo", "model.revision", "evaluate.tasks", "evaluate.backend", "references"}


def keys_of(config: Config) -> dict[str, Any]:
    """The keys of the table, with their values."""
    leaves = dict(_leaves(config, ""))
    return {key: value for key, value in leaves.items() if key not in NOT_CHANGED and not key.startswith("experiments")}


def is_tried(key: str) -> bool:
    """Whether the tests change the key in a run."""
    return key in TRAINING or not key.startswith(("sft.", "grpo."))


def direct_rules(key: str) -> tuple[str, ...]:
    """The rules that read a key."""
    if key.rpartition(".")[2] in EXECUTION_ONLY:
        return ()
    block = max((name for name in READERS if f"{key}.".startswith(f"{name}.")), key=len)
    return (*READERS[block], "make_report")


def reach(dot: str) -> dict[str, set[str]]:
    """Rule → the rules that read what it makes, directly or not, and itself; from `snakemake --rulegraph`."""
    edges = parse_rulegraph(dot)

    def walk(rule: str) -> Iterator[str]:
        yield rule
        for source, target in edges:
            if source == rule:
                yield from walk(target)

    return {rule: set(walk(rule)) - {"all"} for edge in edges for rule in edge}


def expected(key: str, after: dict[str, set[str]]) -> set[str]:
    """The rules that run again after a change of a key."""
    return set().union(*(after[rule] for rule in direct_rules(key)))


def modules_of(root: Path, after: dict[str, set[str]]) -> dict[str, set[str]]:
    """Module below `root`/scripts → the rules that run again after a change of it."""
    scripts = root / "scripts"
    found: dict[str, set[str]] = {}
    for file in sorted((root / "rules").glob("*.smk")):
        for rule, body in RULE.findall(file.read_text(encoding="utf-8")):
            for script in scripts_in(body) if rule in after else ():
                for module in local_closure(scripts / script, scripts):
                    found.setdefault(module.relative_to(scripts).as_posix(), set()).update(after[rule])
    return dict(sorted(found.items()))


def one_of_each(modules: dict[str, set[str]]) -> list[str]:
    """For each set of rules, the first module that runs it again."""
    return list({frozenset(rules): name for name, rules in reversed(modules.items())}.values())


def page(keys: list[str], modules: dict[str, set[str]], after: dict[str, set[str]]) -> str:
    """docs/reruns.md."""
    by_key = {key: expected(key, after) for key in keys}
    return TEXT + _table("key", by_key) + MODULES + _table("module of `scripts/`", modules)


def _table(head: str, reruns: dict[str, set[str]]) -> str:
    groups: dict[str, list[str]] = {}
    for name, rules in reruns.items():
        groups.setdefault(", ".join(sorted(rules)) or "nothing", []).append(f"`{name}`")
    rows = [f"| {', '.join(members)} | {rules} |" for rules, members in groups.items()]
    return "\n".join([f"| {head} | runs again |", "| --- | --- |", *rows]) + "\n"


def _leaves(block: Block, prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in block:
        if isinstance(value, Block):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value
