"""The plan of a run: its jobs by stage, what they will cost, and whether it can succeed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from nep.config.whole import Config
from nep.layout.models import TRAINING_STAGES
from nep.plan import checks as preflight
from nep.plan.checks import Check
from nep.plan.dry_run import DryRun, Job
from nep.plan.estimates import Costs, Estimate, checkpoint_bytes, estimate, expected_bytes
from nep.plan.facts import Facts, read_facts, size_of
from nep.plan.reasons import Reason
from nep.plan.training import VisualShape, training_cost, visual_shape

TRAININGS = ("train_sft", "train_grpo")
# The other stages write texts, or few and short videos.
LARGE_STAGES = ("download", "split", "encode", "sft", "grpo")


@dataclass(frozen=True)
class RuleRow:
    """One rule: jobs to run and done, why, and what the former cost."""

    rule: str
    to_run: int
    done: int
    reasons: dict[Reason, int]
    cost: Estimate | None


@dataclass(frozen=True)
class StageRow:
    """One stage. `written` and `growth` are bytes, None where they are not known: what it will write, but for the
    checkpoints of trainings, and by how much the disk will be fuller; `cached` says what it has from before."""

    stage: str
    rules: list[RuleRow]
    written: int | None
    growth: int | None
    cached: str

    @property
    def to_run(self) -> int:
        """Number of jobs that would run."""
        return sum(row.to_run for row in self.rules)


@dataclass(frozen=True)
class RunPlan:
    """All of it. `open_ended` are rules after which there will be more jobs."""

    run: str
    stages: list[StageRow]
    open_ended: Sequence[str]
    checks: list[Check]

    @property
    def to_run(self) -> int:
        """Number of jobs that would run."""
        return sum(stage.to_run for stage in self.stages)


def plan_run(dry: DryRun, config: Config, root: Path) -> RunPlan:
    """Weigh the jobs of a dry run of the run in `root`, and check what those that would run need."""
    with TemporaryDirectory() as scratch:
        return _plan(dry, read_facts(root, config, Path(scratch)))


def _plan(dry: DryRun, facts: Facts) -> RunPlan:
    config, jobs = facts.config, dry.to_run()
    visual = visual_shape(facts.model, config.vision) if facts.model and jobs else None
    gpus = _gpus(jobs, dry, config)
    costs = _costs(jobs, facts, visual, gpus)
    stages = [
        _stage(stage, list(of_stage), facts, costs, visual, gpus)
        for stage, of_stage in groupby(dry.jobs, key=lambda job: job.stage)
    ]
    checks = _checks(dry, stages, facts, costs) if jobs else []
    return RunPlan(config.run, stages, dry.open_ended, checks)


def _costs(jobs: Sequence[Job], facts: Facts, visual: VisualShape | None, gpus: Mapping[str, int]) -> Costs:
    if facts.model is None:
        return {}
    return {
        (job.stage, job.wildcards["experiment"]): training_cost(
            facts.model, preflight.training_of(job, facts.config), visual, on_gpu=gpus[job.name] > 0
        )
        for job in jobs
        if job.rule in TRAININGS
    }


def _gpus(jobs: Sequence[Job], dry: DryRun, config: Config) -> dict[str, int]:
    """GPUs of each job: those that it asks of a scheduler, else those of this machine that its script takes."""
    if not dry.on_this_machine:
        return {job.name: preflight.gpus_asked(job) for job in jobs}
    return {job.name: _taken_here(job, config) if torch.cuda.is_available() else 0 for job in jobs}


def _taken_here(job: Job, config: Config) -> int:
    if job.rule in TRAININGS:
        return preflight.training_of(job, config).processes
    if job.rule == "evaluate_model":
        return config.evaluate.processes if config.evaluate.device.startswith("cuda") else 0
    return int(job.rule == "encode_shard" and config.encode.features)


def _stage(
    stage: str, jobs: list[Job], facts: Facts, costs: Costs, visual: VisualShape | None, gpus: Mapping[str, int]
) -> StageRow:
    rules = []
    for rule, of_rule in groupby(jobs, key=lambda job: job.rule):
        members = list(of_rule)
        to_run = [job for job in members if job.runs]
        reasons: dict[Reason, int] = {}
        for job in to_run:
            for reason in job.reasons:
                reasons[reason] = reasons.get(reason, 0) + 1
        cost = estimate(to_run, facts, costs, gpus) if to_run else None
        rules.append(RuleRow(rule, len(to_run), len(members) - len(to_run), reasons, cost))
    written, growth, there = _disk(stage, jobs, facts, costs, visual)
    return StageRow(stage, rules, written, growth, _cached(stage, jobs, facts, there))


def _disk(
    stage: str, jobs: Sequence[Job], facts: Facts, costs: Costs, visual: VisualShape | None
) -> tuple[int | None, int | None, int]:
    """Bytes to be written, growth, and bytes that are there; jobs that ran before write as much as they did."""
    experiments = sorted({job.wildcards["experiment"] for job in jobs if "experiment" in job.wildcards})
    there = sum(size_of(facts.root, stage, experiment) for experiment in experiments or [None])
    runs = [job for job in jobs if job.runs]
    new = [job for job in runs if any(reason.kind == "missing output" for reason in job.reasons)]
    if not runs:
        return 0, 0, there
    if len(new) < len(jobs):
        each = there / (len(jobs) - len(new))
        return int(each * len(runs)), int(each * len(new)), there
    expected = expected_bytes(stage, facts, costs, visual) if stage in LARGE_STAGES else 0
    return expected, expected, there


def _cached(stage: str, jobs: Sequence[Job], facts: Facts, there: int) -> str:
    """What the stage's jobs will find of earlier runs."""
    parts = [f"{preflight.in_gib(there)} there"] if there else []
    work = facts.root / "work"
    if stage in ("split", "hash"):
        videos = sum(1 for _ in (work / stage).glob("*/*.json"))
        parts += [f"videos in the ledger: {videos:,}"] if videos else []
    if stage in TRAINING_STAGES:
        steps = [int(path.name.removeprefix("step-")) for path in (work / stage).glob("*/*/step-*")]
        parts += [f"a checkpoint at step {max(steps)}, for the recipe that wrote it"] if steps else []
    if stage == "encode" and (index := facts.root / "encode/index.jsonl").is_file():
        with index.open("rb") as lines:
            parts.append(f"{sum(1 for _ in lines):,} clips")
    return ", ".join(parts)


def _checks(dry: DryRun, stages: Sequence[StageRow], facts: Facts, costs: Costs) -> list[Check]:
    jobs, config = dry.to_run(), facts.config
    rules = {job.rule for job in jobs}
    local = dry.on_this_machine
    growth, checkpoints = sum(row.growth or 0 for row in stages), checkpoint_bytes(jobs, facts, costs)
    unknown = [row.stage for row in stages if row.growth is None]
    if checkpoints is None:
        unknown.append("checkpoints")
    checks = [preflight.check_disk(facts.root, growth, checkpoints or 0, unknown)]
    if local:
        checks += preflight.check_local_gpus(jobs, config, torch.cuda.device_count())
    else:
        checks += preflight.check_submitted_gpus(jobs, config)
    for job in jobs:
        if job.rule in TRAININGS:
            cost = costs.get((job.stage, job.wildcards["experiment"]))
            checks.append(preflight.check_memory(job, preflight.training_of(job, config), cost, local))
    checks += [*preflight.check_keys(jobs, config), *preflight.check_hub(config, rules), *preflight.check_codecs(rules)]
    for row in (row for stage in stages for row in stage.rules if row.cost):
        checks += preflight.check_time(row.rule, [job for job in jobs if job.rule == row.rule], row.cost)
    if dry.executor.startswith("slurm"):
        checks += preflight.check_partitions(jobs)
    elif not local:
        checks.append(Check("unknown", "scheduler", f"what '{dry.executor}' offers is not looked up"))
    return checks
