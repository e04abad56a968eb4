"""How a run stands at one moment, from the files in its folder and in `.snakemake`. Nothing is written or locked."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from nep.evaluate.ledger import PROGRESS
from nep.layout.stages import OTHER, STAGE_RULES, stage_of
from nep.watch.progress import Progress, bar_progress, last_rows, ledger_progress, tail, training_progress
from nep.watch.snakemake_log import Job, RunLog, parse_log
from nep.workflow.lock import Standing, standing

EVALUATIONS = {"evaluate_model", "evaluate_reference"}
# The end of a work folder's name.
HASH = "[0-9a-f]" * 16
TRAININGS = {"train_sft": "sft", "train_grpo": "grpo"}
# Stages with a ledger of videos, and the files of records whose videos it will hold.
LEDGERS = {"split": {"records.jsonl": "id"}, "hash": {"records.jsonl": "id", "seedbench_r1.jsonl": "video_id"}}

State = Literal["waiting", "running", "failed", "stopped", "finished"]


@dataclass(frozen=True)
class JobRow:
    """A training, or another job that has not finished. `waiting`: handed to a cluster, no log yet; `stopped`: its run
    ended before it.

    `says` is the last line of a running job's log that shows no progress. `quiet_s`: seconds since it last wrote.
    """

    name: str
    state: State
    progress: Progress | None
    says: str
    quiet_s: float
    log: Path | None


@dataclass(frozen=True)
class StageRow:
    """A stage: jobs done of all; `progress` of its videos while it fills a ledger; trainings and unfinished jobs."""

    stage: str
    done: int
    total: int
    progress: Progress | None
    jobs: tuple[JobRow, ...]


@dataclass(frozen=True)
class Snapshot:
    """A run at one moment. `note` is what its lock says of who began it, where it has not ended properly.

    `done` of `total` are jobs as Snakemake counts them. `report` is the page, where this run has made it.
    """

    run: str
    standing: Standing
    note: dict[str, Any] | None
    stages: tuple[StageRow, ...]
    done: int
    total: int
    report: Path | None

    @property
    def is_over(self) -> bool:
        """Whether nothing will change any more."""
        return self.standing in ("over", "died")

    @property
    def failed(self) -> list[JobRow]:
        """Jobs that have failed and are not tried again, as far as can be seen."""
        return [job for stage in self.stages for job in stage.jobs if job.state == "failed"]


def take_snapshot(root: Path, run: str, log: Path | None, now: float) -> Snapshot:
    """The run `run` below the folder `root` that Snakemake works in; `log` is Snakemake's, None where it has none."""
    stands, note = standing(root / ".snakemake", run)
    if log is None:
        return Snapshot(run, stands, note, (), 0, 0, None)
    told = parse_log(log.read_text("utf-8", errors="replace"))
    lives = stands in ("under way", "unknown") and not told.is_over
    folder = root / "results" / run
    stages = tuple(_stage_row(stage, told, root, folder, lives, now) for stage in _stages(told))
    page = folder / "report" / "index.html"
    made = any(job.rule == "make_report" and job.state == "finished" for job in told.jobs)
    return Snapshot(run, stands, note, stages, told.done, told.total, page if made else None)


def _stages(told: RunLog) -> list[str]:
    """Stages that have jobs in this run, in the order of the workflow; targets without a command are none."""
    found = {stage_of(rule) for rule in [*told.planned, *(job.rule for job in told.jobs)]} - {OTHER}
    return [stage for stage in STAGE_RULES if stage in found]


def _stage_row(stage: str, told: RunLog, root: Path, folder: Path, lives: bool, now: float) -> StageRow:
    jobs = [job for job in told.jobs if stage_of(job.rule) == stage]
    seen = {rule: sum(job.rule == rule for job in jobs) for rule in STAGE_RULES[stage]}
    total = sum(max(count, told.planned.get(rule, 0)) for rule, count in seen.items())
    done = sum(job.state == "finished" for job in jobs)
    open_jobs = [job for job in jobs if job.state != "finished"]
    progress = None
    if stage in LEDGERS and open_jobs:
        progress = _videos(stage, folder, min(job.since for job in jobs), now)
    shown = [job for job in jobs if job.state != "finished" or job.rule in TRAININGS]
    rows = tuple(_job_row(job, root, folder, lives, now) for job in shown)
    return StageRow(stage, done, total, progress, rows)


def _job_row(job: Job, root: Path, folder: Path, lives: bool, now: float) -> JobRow:
    log = root / job.logs[0] if job.logs else None
    state = _state(job, log, lives)
    if log is None or state == "waiting":
        return JobRow(job.name, state, None, "", 0.0, job.logs[0] if job.logs else None)
    progress, files = _progress(job, log, folder)
    newest = max((path.stat().st_mtime for path in files if path.is_file()), default=job.since)
    lines = [line for line in tail(log).replace("\r", "\n").splitlines() if line.strip()]
    says = lines[-1].strip() if lines and progress is None else ""
    return JobRow(job.name, state, progress, says, max(0.0, now - newest), job.logs[0])


def _progress(job: Job, log: Path, folder: Path) -> tuple[Progress | None, list[Path]]:
    """How far a job is, and the files that tell."""
    bar, name = bar_progress(tail(log)), job.name.split()[-1]
    if job.rule in EVALUATIONS and (answers := _newest(folder / "work" / "evaluate", f"{name}-{HASH}/*.log")):
        return bar_progress(tail(answers), PROGRESS), [log, answers]
    if job.rule in TRAININGS and (metrics := _metrics(job, folder)):
        return _training(TRAININGS[job.rule], metrics, bar and bar.total), [log, metrics]
    return bar, [log]


def _metrics(job: Job, folder: Path) -> Path | None:
    """Metrics of a training: those that it has published, or that grow since it began; None before."""
    stage, experiment = TRAININGS[job.rule], job.name.split()[-1]
    if job.state == "finished":
        return folder / experiment / stage / "metrics.jsonl"
    growing = _newest(folder / "work" / stage / experiment, "*/metrics.jsonl")
    return growing if growing and growing.stat().st_mtime >= job.since else None


def _state(job: Job, log: Path | None, lives: bool) -> State:
    if job.state != "started":
        return job.state
    if not lives:
        return "stopped"
    begun = log is not None and log.is_file() and log.stat().st_mtime >= int(job.since)
    return "running" if begun else "waiting"


def _training(stage: str, metrics: Path, total: int | None) -> Progress | None:
    rows = [last_rows(metrics.with_name(f"{name}.jsonl")) for name in ("metrics", "timings", "validation")]
    return training_progress(stage, *rows, total)


def _videos(stage: str, folder: Path, since: float, now: float) -> Progress | None:
    """Videos in the ledger that the stage has written to `since` it began, of all; None before its first entry."""
    ledger = _newest(folder / "work" / stage, "*")
    total = _number_of_videos(folder / "records", tuple(LEDGERS[stage].items()))
    if ledger is None or ledger.stat().st_mtime < since or total is None:
        return None
    return ledger_progress([path.stat().st_mtime for path in ledger.glob("*.json")], total, since, now)


def _number_of_videos(records: Path, files: Sequence[tuple[str, str]]) -> int | None:
    paths = [(records / name, key) for name, key in files if (records / name).is_file()]
    if len(paths) < len(files):
        return None
    return len(frozenset().union(*(_ids(path, key, path.stat().st_mtime_ns) for path, key in paths)))


@lru_cache
def _ids(path: Path, key: str, _changed: int) -> frozenset[str]:
    """Ids of the videos that a file of records or questions names; read anew only where it has changed."""
    with path.open("rb") as lines:
        return frozenset(row[key] for row in map(json.loads, lines) if row["video"] is not None)


def _newest(folder: Path, pattern: str) -> Path | None:
    return max(folder.glob(pattern), key=lambda path: path.stat().st_mtime, default=None)
