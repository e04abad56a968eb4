"""Reads what the report shows from a run folder into plain dataclasses; nothing is computed or formatted here."""

import ast
import csv
import sys
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, NamedTuple

from nep.config.whole import Config
from nep.errors import InputError
from nep.files import read_json, read_jsonl
from nep.layout.models import BASE, experiment_and_stage, model_name
from nep.report.benchmarks import is_own
from nep.slurm.accounting import Cost, run_costs
from nep.workflow.machine import FOLDER as MACHINES
from nep.workflow.machine import Machine

Row = dict[str, Any]
Stage = Literal["base", "sft", "grpo", "reference"]
REFERENCE = "reference"

SCORE_KEYS = ("task", "variant", "split", "n", "accuracy", "ci_low", "ci_high", "unreadable", "failed")
SAMPLE_KEYS = ("task", "question_id", "variant", "control", "completion", "parsed", "correct", "error")
LEFT_OUT_KEYS = ("task", "reason")
QUESTION_KEYS = ("id", "video_id", "kind", "question", "options", "answer", "record")
QUARANTINE_KEYS = ("id", "stage", "reason", "detail")
NOT_MEASURED = ("", "-", "NA")


class ModelName(NamedTuple):
    """`experiment` is "base" for the model that everything starts from, its own name for one not trained here."""

    experiment: str
    stage: Stage


# What stages set aside: those that only plain videos go through, and the one that all records do.
OF_PLAIN_VIDEOS = (
    "shots/rejected.jsonl",
    "annotate/rejected.jsonl",
    "questions/rejected.jsonl",
    "questions/left_out.jsonl",
)
REJECTED = "records/rejected.jsonl"


@dataclass(frozen=True)
class Score:
    """One accuracy with its 95 % interval, None where there are too few answers for one; all three in percent.

    Among the `n` answers, all counted as wrong: those without a readable answer (`unreadable`; None where a benchmark
    reads none), and those that the model did not give because it ended in an error (`failed`).
    """

    task: str
    variant: str
    split: str
    n: int
    accuracy: float
    ci_low: float | None
    ci_high: float | None
    unreadable: int | None = None
    failed: int = 0


@dataclass(frozen=True)
class LeftOut:
    """A benchmark that a model was not evaluated on, and why."""

    task: str
    reason: str


@dataclass(frozen=True)
class EvaluatedModel:
    """A model that was evaluated; each sample names its `task`.

    `seen`: what it was shown of a video; `cache_check`: how far one clip's logits through the vision cache are from
    lmms-eval's own, if compared.
    """

    experiment: str
    stage: Stage
    scores: list[Score]
    samples: list[Row]
    left_out: tuple[LeftOut, ...] = ()
    seen: Row = field(default_factory=dict)
    cache_check: Row | None = None

    @property
    def name(self) -> ModelName:
        """What tells it from the others."""
        return ModelName(self.experiment, self.stage)


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
    """All that the report shows of a run. `questions` and `cuts` (rows of the split manifest) are keyed by id.

    `machines`: those that ran a job of it; `accounted`: what Slurm has accounted for its jobs, nothing where it has not
    run there.
    """

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
    machines: list[Machine]

    def question_of(self, sample: Row) -> Row:
        """What a sample was asked, with what convert knows of it where the benchmark's questions are the run's own."""
        return {**sample, **self.questions.get(sample["question_id"], {})} if is_own(sample["task"]) else sample


def collect_run(root: Path, config: Config) -> Run:
    """Read the run at `root`. Raises InputError naming the file when one that the configuration implies is missing.

    Optional are the benchmark files, the notes on machines, the questions of SeedBench-R1, the encode shards, the base
    model's manifest and the segments.
    """
    split_rows = read_jsonl(root / "split" / "manifest.jsonl")
    questions = [*_read_seedbench(root), *_read_questions(root / "convert" / "futurebench.jsonl")]
    return Run(
        root=root,
        config=config,
        models=[_read_model(root, name) for name in evaluated_models(config)],
        training=[_read_training(root, *name) for name in trained_models(config)],
        questions={row["id"]: row for row in questions},
        cuts={row["id"]: row for row in split_rows if row.get("status") == "ok"},
        quarantined=[*read_quarantined(root, split_rows), *_read_encode_quarantined(root)],
        jobs=read_jobs(root / "benchmarks"),
        accounted=_read_accounted(root),
        parameters=_read_parameters(root / "models" / "base.manifest.json"),
        machines=read_machines(root / "logs" / MACHINES),
    )


def evaluated_models(config: Config) -> list[ModelName]:
    """Every model that the configuration evaluates: the base model, the trained ones, those of other makers."""
    references = [ModelName(name, REFERENCE) for name in config.references]
    return [ModelName(BASE, BASE), *trained_models(config), *references]


def trained_models(config: Config) -> list[ModelName]:
    """Every model that the configuration trains."""
    return [ModelName(*experiment_and_stage(name)) for name in config.trained_models]


def read_jobs(folder: Path) -> list[Job]:
    """Read Snakemake's benchmark files `<rule>/<wildcards>.tsv` or `<rule>.tsv`; an absent folder holds none."""
    files = sorted(folder.rglob("*.tsv"))
    return [
        job for path in files for job in read_benchmark(path, path.relative_to(folder).parts[0].removesuffix(".tsv"))
    ]


def read_machines(folder: Path) -> list[Machine]:
    """Read what the jobs noted of their machines; an absent folder holds none."""
    keys = tuple(key.name for key in fields(Machine))
    notes = [checked([read_json(path)], path, keys)[0] for path in sorted(folder.glob("*.json"))]
    return [Machine(**{**{key: note[key] for key in keys}, "gpus": tuple(note["gpus"])}) for note in notes]


def read_benchmark(path: Path, rule: str) -> list[Job]:
    """Read one benchmark file of a job of `rule`. Raises InputError that names the file where it is not one."""
    ended = path.stat().st_mtime
    with path.open(encoding="utf-8", newline="") as stream:
        return [_job(row, rule, ended, path) for row in csv.DictReader(stream, delimiter="\t")]


def read_quarantined(root: Path, split_rows: list[Row]) -> list[Quarantined]:
    """What the stages set aside, in their order; `split_rows` are the rows of the split manifest."""
    files = [root / name for name in OF_PLAIN_VIDEOS if (root / name).is_file()]
    rejected = [row for file in (*files, root / REJECTED) for row in _as_quarantined(read_jsonl(file), file)]
    set_aside = [row for row in split_rows if row.get("status") == "quarantined"]
    return [*rejected, *_as_quarantined(set_aside, root / "split" / "manifest.jsonl")]


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


def _read_questions(path: Path) -> list[Row]:
    return checked(read_jsonl(path), path, QUESTION_KEYS)


def _read_seedbench(root: Path) -> list[Row]:
    path = root / "convert" / "seedbench_r1.jsonl"
    return _read_questions(path) if path.is_file() else []


def _read_model(root: Path, name: ModelName) -> EvaluatedModel:
    experiment, stage = name
    folder = root / "evaluate" / (experiment if stage in (BASE, REFERENCE) else model_name(experiment, stage))
    scores_file, samples_file = folder / "scores.json", folder / "samples.jsonl"
    content = read_json(scores_file)
    if not isinstance(content, dict) or not isinstance(content.get("scores"), list):
        raise InputError(f"{scores_file}: expected an object with a list 'scores'")
    rows = checked(content["scores"], scores_file, SCORE_KEYS)
    samples = checked(read_jsonl(samples_file), samples_file, SAMPLE_KEYS)
    left_out = checked(content.get("left_out", []), scores_file, LEFT_OUT_KEYS)
    return EvaluatedModel(
        experiment=experiment,
        stage=stage,
        # A kind of question without an answer that counts has no accuracy.
        scores=[Score(**{key: row[key] for key in SCORE_KEYS}) for row in rows if row["accuracy"] is not None],
        samples=samples,
        left_out=tuple(LeftOut(row["task"], row["reason"]) for row in left_out),
        seen=content.get("vision", {}),
        cache_check=content.get("cache_check") or None,
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
