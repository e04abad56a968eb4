"""Order and names of benchmarks and their splits, on pages and in tables.

A task that the registry does not name is shown under its own name, after those that it does.
"""

from nep.benchmarks.registry import NAMES, OWN
from nep.benchmarks.shown import shown
from nep.stats.accuracy import KINDS, OVERALL

SPLITS = (OVERALL, *KINDS)


def is_own(task: str) -> bool:
    """Whether the questions are made by the convert stage."""
    return task in OWN


def task_order(task: str) -> tuple[int, str]:
    """Sort key: the order of the registry, then by name."""
    return (NAMES.index(task) if task in NAMES else len(NAMES), task)


def split_order(split: str) -> tuple[int, str]:
    """Sort key: overall, then the hops, then whatever else a task has."""
    return (SPLITS.index(split) if split in SPLITS else len(SPLITS), split)


def split_name(split: str) -> str:
    """A split's name for people."""
    names = {OVERALL: "Overall"} | {key: name for task in NAMES for key, name in shown(task).splits.items()}
    return names.get(split, split.replace("_", " "))
