"""Reads what the report shows from a run folder into plain dataclasses; nothing is computed or formatted here."""

import ast
import csv
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from nep.config import Config
from nep.errors import InputError
from nep.files import read_json, read_jsonl
from nep.slurm.accounting import Cost, run_costs

Row = dict[str, Any]
Stage = Literal["base", "sft", "grpo"]
BASE = "base"

SCORE_KEYS = ("task", "variant", "split", "n", "accuracy", "ci_low", "ci_high")
SAMPLE_KEYS = ("question_id", "kind", "variant", "control", "options", "answer", "completion", "parsed", "correct")
QUESTION_KEYS = ("id", "video_id", "kind", "question", "options", "answer", "record")
QUARANTINE_KEYS = ("id", "stage", "reason", "detail")
NOT_MEASURED = ("", "-", "NA")


@dataclass(frozen=True)
class Score:
    """One accuracy with its 95 % interval; all three in percent."""

    task: str
    variant: str
    split: str
    n: int
    accuracy: float
    ci_low: float
    ci_high: float


@dataclass(frozen=True)
class EvaluatedModel:
    """A model that was evaluated: `experiment` is "base" for the model that everything starts from."""

    experiment: str
    stage: Stage
    scores: list[Score]
    samples: list[Row]


@dataclass(frozen=True)
class TrainingLog:
    """What one training stage of one experiment logged, a row a step; `skipped` steps were left out as not finite."""

    experiment: str
    stage: Stage
    metrics: list[Row]
    validation: list[Row]
    skipped: int


@dataclass(frozen=True)
class Quarantined:
    """A record that a stage set aside, and why."""

    id: str
    stage: str
    reason: str
    detail: str


@dataclass(frozen=True)
class Job:
    """One job's cost as Snakemake's benchmark file gives it; None where the job ended before it could be measured.

    `gpus` are those that the job reserved, which only an extended file (`--benchmark-extended`) names.
    """

    rule: str
    seconds: float
    peak_mb: float | None
    cpu_seconds: float | None
    ended: float
    gpus: int | None = None


@dataclass(frozen=True)
class Run:
    """All that the report shows of a run. `questions` and `cuts` (rows of the split manifest) are keyed by id;
    `accounted` is what Slurm has accounted for its jobs, nothing where it has not run there."""

    root: Path
    config: Config
    models: list[EvaluatedModel]
    training: list[TrainingLog]
    questions: dict[str, Row]
    cuts: dict[str, Row]
    quarantined: list[Quarantined]
    jobs: list[Job]
    accounted: list[Cost]
    parameters: int | None


def collect_run(root: Path, config: Config) -> Run:
    """Read the run at `root`. Raises InputError naming the file when one that the configuration implies is missing.

    Optional are the benchmark files, the encode shards, the base model's manifest and the segments.
    """
    split_rows = read_jsonl(root / "split" / "manifest.jsonl")
    questions_file = root / "convert" / "futurebench.jsonl"
    questions = checked(read_jsonl(questions_file), questions_file, QUESTION_KEYS)
    return Run(
        root=root,
        config=config,
        models=[_read_model(root, experiment, stage) for experiment, stage in evaluated_models(config)],
        training=[_read_training(root, name, stage) for name, stage in evaluated_models(config) if stage != BASE],
        questions={row["id"]: row for row in questions},
        cuts={row["id"]: row for row in split_rows if row.get("status") == "ok"},
        quarantined=[*read_quarantined(root, split_rows), *_read_encode_quarantined(root)],
        jobs=read_jobs(root / "benchmarks"),
        accounted=_read_accounted(root),
        parameters=_read_parameters(root / "models" / "base.manifest.json"),
    )


def evaluated_models(config: Config) -> list[tuple[str, Stage]]:
    """(experiment, stage) of every model that the configuration evaluates, the base model first."""
    models: list[tuple[str, Stage]] = [(BASE, BASE)]
    for name, experiment in config.experiments.items():
        models += [(name, stage) for stage in ("sft", "grpo") if getattr(experiment, stage) is not None]
    return models


def read_jobs(folder: Path) -> list[Job]:
    """Read Snakemake's benchmark files `<rule>/<wildcards>.tsv` or `<rule>.tsv`; an absent folder holds none."""
    files = sorted(folder.rglob("*.tsv"))
    return [
        job for path in files for job in read_benchmark(path, path.relative_to(folder).parts[0].removesuffix(".tsv"))
    ]


def read_benchmark(path: Path, rule: str) -> list[Job]:
    """Read one benchmark file of a job of `rule`. Raises InputError that names the file where it is not one."""
    ended = path.stat().st_mtime
    with path.open(encoding="utf-8", newline="") as stream:
        return [_job(row, rule, ended, path) for row in csv.DictReader(stream, delimiter="\t")]


def read_quarantined(root: Path, split_rows: list[Row]) -> list[Quarantined]:
    """What records and split set aside; `split_rows` are the rows of the split manifest."""
    rejected, split = root / "records" / "rejected.jsonl", root / "split" / "manifest.jsonl"
    set_aside = [row for row in split_rows if row.get("status") == "quarantined"]
    return [*_as_quarantined(read_jsonl(rejected), rejected), *_as_quarantined(set_aside, split)]


def _read_accounted(root: Path) -> list[Cost]:
    """Costs by rule from Slurm; a cluster without accounting has none, which the report's log says."""
    try:
        return run_costs(root)
    except InputError as error:
        print(f"report: {error}", file=sys.stderr)
        return []


def checked(rows: list[Row], path: Path, keys: tuple[str, ...]) -> list[Row]:
    """`rows`, each of them an object with all of `keys`. Raises InputError that names file and row."""
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise InputError(f"{path}, row {number}: expected an object, found {row!r}")
        if absent := [key for key in keys if key not in row]:
            raise InputError(f"{path}, row {number}: no key {absent[0]!r} (found {', '.join(sorted(row)) or 'none'})")
    return rows


def _read_model(root: Path, experiment: str, stage: Stage) -> EvaluatedModel:
    folder = root / "evaluate" / (BASE if stage == BASE else f"{experiment}-{stage}")
    scores_file, samples_file = folder / "scores.json", folder / "samples.jsonl"
    content = read_json(scores_file)
    if not isinstance(content, dict) or not isinstance(content.get("scores"), list):
        raise InputError(f"{scores_file}: expected an object with a list 'scores'")
    rows = checked(content["scores"], scores_file, SCORE_KEYS)
    return EvaluatedModel(
        experiment=experiment,
        stage=stage,
        scores=[Score(**{key: row[key] for key in SCORE_KEYS}) for row in rows],
        samples=checked(read_jsonl(samples_file), samples_file, SAMPLE_KEYS),
    )


def _read_training(root: Path, experiment: str, stage: Stage) -> TrainingLog:
    folder = root / experiment / stage
    metrics = checked(read_jsonl(folder / "metrics.jsonl"), folder / "metrics.jsonl", ("step",))
    validation_file = folder / "validation.jsonl"
    validation = checked(read_jsonl(validation_file), validation_file, ("step",))
    manifest = checked([read_json(folder / "manifest.json")], folder / "manifest.json", ("skipped_steps",))
    return TrainingLog(experiment, stage, metrics, validation, manifest[0]["skipped_steps"])


def _read_encode_quarantined(root: Path) -> list[Quarantined]:
    shards = sorted((root / "encode" / "shards").glob("*.json"))
    return [row for shard in shards for row in _as_quarantined(read_json(shard).get("quarantined", []), shard)]


def _as_quarantined(rows: list[Row], path: Path) -> list[Quarantined]:
    rows = checked(rows, path, QUARANTINE_KEYS)
    return [Quarantined(**{key: str(row[key]) for key in QUARANTINE_KEYS}) for row in rows]


def _read_parameters(manifest: Path) -> int | None:
    return read_json(manifest).get("parameters") if manifest.is_file() else None


def _job(row: dict[str, str | None], rule: str, ended: float, path: Path) -> Job:
    seconds = _measured(row, "s", path)
    if seconds is None:
        raise InputError(f"{path}: no value in column 's'; expected a benchmark file of Snakemake")
    memory, cpu_seconds = _measured(row, "max_rss", path), _measured(row, "cpu_time", path)
    return Job(rule, seconds, memory, cpu_seconds, ended, _reserved_gpus(row, path))


def _reserved_gpus(row: dict[str, str | None], path: Path) -> int | None:
    if not row.get("resources"):
        return None
    try:
        return int(ast.literal_eval(row["resources"]).get("gpu", 0))
    except (ValueError, SyntaxError, AttributeError):
        raise InputError(f"{path}: column 'resources' holds {row['resources']!r}, expected a dictionary") from None


def _measured(row: dict[str, str | None], column: str, path: Path) -> float | None:
    text = row.get(column) or ""
    if text in NOT_MEASURED:
        return None
    try:
        return float(text)
    except ValueError:
        raise InputError(f"{path}: column {column!r} holds {text!r}, expected a number") from None
