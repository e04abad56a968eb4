"""What a run cost: its jobs by rule and by stage, the files of each stage, and the stages as a graph."""

import itertools
from dataclasses import dataclass
from pathlib import Path

from nep.layout.stages import OTHER, OTHER_FOLDER, STAGE_EDGES, STAGE_RULES, stage_folders, stage_of
from nep.report.collect import Job, Run
from nep.workflow.rule_graph import without_implied

NODE_WIDTH, NODE_HEIGHT, GAP_X, GAP_Y = 88, 62, 26, 14


@dataclass(frozen=True)
class RuleCost:
    """Jobs of one rule or stage: `seconds` is the sum over jobs, which may have run side by side.

    `gpu_seconds` is the sum of time by reserved GPUs; None where no job's file names its resources.
    """

    rule: str
    jobs: int
    seconds: float
    cpu_seconds: float | None
    gpu_seconds: float | None
    peak_mb: float | None


@dataclass(frozen=True)
class StageCost:
    """One stage: the cost of its jobs (None where no benchmark file is there) and the bytes of its files."""

    stage: str
    cost: RuleCost | None
    disk_bytes: int


@dataclass(frozen=True)
class Node:
    """A stage's box in SVG units."""

    x: float
    y: float
    stage: StageCost


@dataclass(frozen=True)
class Graph:
    """The stages as boxes, and the arrows between them as SVG paths."""

    width: float
    height: float
    nodes: list[Node]
    arrows: list[str]


def rule_costs(jobs: list[Job]) -> list[RuleCost]:
    """The jobs of each rule summed up, in the order in which the rules first ended a job."""
    rules: dict[str, list[Job]] = {}
    for job in sorted(jobs, key=lambda job: (job.ended, job.rule)):
        rules.setdefault(job.rule, []).append(job)
    return [
        RuleCost(
            rule=rule,
            jobs=len(members),
            seconds=sum(job.seconds for job in members),
            cpu_seconds=_sum_of([job.cpu_seconds for job in members]),
            gpu_seconds=_sum_of([None if job.gpus is None else job.gpus * job.seconds for job in members]),
            peak_mb=_largest([job.peak_mb for job in members]),
        )
        for rule, members in rules.items()
    ]


def total_cost(costs: list[RuleCost], name: str = "Total") -> RuleCost:
    """Sum of times, largest of peaks."""
    return RuleCost(
        rule=name,
        jobs=sum(cost.jobs for cost in costs),
        seconds=sum(cost.seconds for cost in costs),
        cpu_seconds=_sum_of([cost.cpu_seconds for cost in costs]),
        gpu_seconds=_sum_of([cost.gpu_seconds for cost in costs]),
        peak_mb=_largest([cost.peak_mb for cost in costs]),
    )


def stage_costs(run: Run) -> list[StageCost]:
    """Stages that ran a job or left a file, in the order of the workflow; the report does not count itself."""
    costs = rule_costs(run.jobs)
    stages = []
    for stage in (*STAGE_RULES, OTHER):
        of_stage = [cost for cost in costs if stage_of(cost.rule) == stage]
        disk = sum(folder_bytes(folder) for folder in _folders(run, stage))
        if of_stage or disk:
            stages.append(StageCost(stage, total_cost(of_stage, stage) if of_stage else None, disk))
    return stages


def folder_bytes(folder: Path) -> int:
    """Bytes of all files below a folder, links not followed; 0 where it is absent."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def stage_graph(stages: list[StageCost]) -> Graph:
    """The stages of the run from left to right, each right of all that it reads; stages without arrows are left out."""
    known = {stage.stage: stage for stage in stages}
    drawn = [stage for stage in STAGE_RULES if stage in known and any(stage in edge for edge in STAGE_EDGES)]
    edges = _between(drawn)
    depth: dict[str, int] = {}
    for stage in drawn:
        depth[stage] = 1 + max((depth[source] for source, target in edges if target == stage), default=-1)
    columns = [
        [stage for stage in drawn if depth[stage] == place] for place in range(max(depth.values(), default=0) + 1)
    ]
    tallest = max(map(len, columns))
    height = tallest * (NODE_HEIGHT + GAP_Y) - GAP_Y
    places = {}
    for column, members in enumerate(columns):
        top = (height - len(members) * (NODE_HEIGHT + GAP_Y) + GAP_Y) / 2
        for row, stage in enumerate(members):
            places[stage] = (column * (NODE_WIDTH + GAP_X), top + row * (NODE_HEIGHT + GAP_Y))
    return Graph(
        width=len(columns) * (NODE_WIDTH + GAP_X) - GAP_X,
        height=height,
        nodes=[Node(*places[stage], known[stage]) for stage in drawn],
        arrows=[_arrow(places[source], places[target]) for source, target in edges],
    )


def _between(drawn: list[str]) -> list[tuple[str, str]]:
    """Edges among the drawn stages; a stage that the run does not have is passed over."""
    edges = set(STAGE_EDGES)
    for absent in [stage for stage in STAGE_RULES if stage not in drawn]:
        sources = [source for source, target in edges if target == absent]
        targets = [target for source, target in edges if source == absent]
        edges = {edge for edge in edges if absent not in edge} | set(itertools.product(sources, targets))
    return sorted(without_implied(edges))


def _arrow(source: tuple[float, float], target: tuple[float, float]) -> str:
    x0, y0 = source[0] + NODE_WIDTH, source[1] + NODE_HEIGHT / 2
    x1, y1 = target[0] - 3, target[1] + NODE_HEIGHT / 2
    middle = (x0 + x1) / 2
    return f"M{x0:.1f} {y0:.1f}C{middle:.1f} {y0:.1f} {middle:.1f} {y1:.1f} {x1:.1f} {y1:.1f}m-4 -3.5l4 3.5l-4 3.5"


def _folders(run: Run, stage: str) -> list[Path]:
    """Folders of a stage; the report, which is being written, does not count itself."""
    if stage == "report":
        return []
    names = [OTHER_FOLDER] if stage == OTHER else stage_folders(stage, run.config.trainings)
    return [run.root / name for name in names]


def _sum_of(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _largest(values: list[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)
