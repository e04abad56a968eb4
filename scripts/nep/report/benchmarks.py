"""The benchmarks that a run may be evaluated on: their names and order, their splits, what guessing gives.

A task that is not named here is shown under its own name, after those that are.
"""

from dataclasses import dataclass

OVERALL = "overall"
SPLITS = (OVERALL, "hop1", "hop2", "hop3", "interpolation")
SPLIT_NAMES = {
    OVERALL: "Overall",
    "hop1": "1 hop",
    "hop2": "2 hops",
    "hop3": "3 hops",
    "interpolation": "Interpolation",
    "l1": "Level 1",
    "l2": "Level 2",
    "l3": "Level 3",
}


@dataclass(frozen=True)
class Benchmark:
    """A task's name for people; `chance` is the accuracy of guessing in percent, None where questions differ in it."""

    task: str
    name: str
    chance: float | None = None


BENCHMARKS = (
    Benchmark("futurebench", "FutureBench", 25.0),
    Benchmark("seedbench_r1_l1", "SeedBench-R1, level 1", 25.0),
    Benchmark("seedbench_r1_l2", "SeedBench-R1, level 2", 25.0),
    Benchmark("seedbench_r1_l3", "SeedBench-R1, level 3", 25.0),
    Benchmark("videomme", "Video-MME", 25.0),
    Benchmark("mvbench", "MVBench"),
    Benchmark("longvideobench_val_v", "LongVideoBench"),
    Benchmark("tempcompass", "TempCompass"),
    Benchmark("temporalbench", "TemporalBench"),
)
# Their questions are the run's own data set's, which need not be the published one.
OWN = ("futurebench", "seedbench_r1")
_BY_TASK = {benchmark.task: benchmark for benchmark in BENCHMARKS}
_PLACES = {benchmark.task: place for place, benchmark in enumerate(BENCHMARKS)}


def benchmark_of(task: str) -> Benchmark:
    """What is known of a task."""
    return _BY_TASK.get(task, Benchmark(task, task))


def is_own(task: str) -> bool:
    """Whether the questions are made by the convert stage."""
    return task.startswith(OWN)


def task_order(task: str) -> tuple[int, str]:
    """Sort key: the order of `BENCHMARKS`, then by name."""
    return (_PLACES.get(task, len(_PLACES)), task)


def split_order(split: str) -> tuple[int, str]:
    """Sort key: overall, then the hops, then whatever else a task has."""
    return (SPLITS.index(split) if split in SPLITS else len(SPLITS), split)


def split_name(split: str) -> str:
    """A split's name for people."""
    return SPLIT_NAMES.get(split, split.replace("_", " "))
