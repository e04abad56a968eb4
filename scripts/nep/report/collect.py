"""Reads what the report shows from a run folder into plain dataclasses; nothing is computed or formatted here."""

import ast
import csv
import sys
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Literal, NamedTuple

from nep.config.whole import Config
from nep.errors import InputError
from nep.files import read_json, read_jsonl
from nep.layout.models import BASE, experiment_and_stage, model_name
from nep.report.benchmarks import is_own
from nep.report.manifests import Row, checked
from nep.report.quarantine import read_quarantined
from nep.report.seeds import means_over_seeds
from nep.rows.base import read_rows, rows_as
from nep.rows.clip import read_shard
from nep.rows.cut import Cut, cuts_by_id, read_split
from nep.rows.quarantine import Quarantined
from nep.rows.question import AskedQuestion
from nep.rows.sample import Sample
from nep.rows.score import LeftOut, Score
from nep.slurm.costs import Cost, run_costs
from nep.workflow.machine import FOLDER as MACHINES
from nep.workflow.machine import Machine

Stage = Literal["base", "sft", "grpo", "reference"]
REFERENCE = "reference"

NOT_MEASURED = ("", "-", "NA")


class ModelName(NamedTuple):
    """`experiment` is "base" for the model that everything starts from, its own name for one not trained here."""

    experiment: str
    stage: Stage


@dataclass(frozen=True)
class EvaluatedModel:
    """A model that was evaluated; each sample names its `task`.

    `seen`: what it was shown of a video; `cache_check`: how far one clip's logits through the vision cache are from
    lmms-eval's own, if compared; `members`: the model of each seed, where this is the mean over them
    (nep.report.seeds).
    """

    experiment: str
    stage: Stage
    scores: list[Score]
    samples: list[Sample]
    left_out: tuple[LeftOut, ...] = ()
    seen: Row = field(default_factory=dict)
    cache_check: Row | None = None
    members: tuple["EvaluatedModel", ...] = ()

    @property
    def name(self) -> ModelName:
        """What tells it from the others."""
        return ModelName(self.experiment, self.stage)

    @property
    def checkpoints(self) -> tuple["EvaluatedModel", ...]:
        """What was evaluated: itself, or the model of each seed."""
        return self.members or (self,)


@dataclass(frozen=True)
class TrainingLog:
    """What one training stage logged, a row a step; `skipped` steps were left out as not finite.

    `experiment`: its `training_name`. `samples`: what it trained on, the completions that it sampled in GRPO.
    """

    experiment: str
    stage: Stage
    metrics: list[Row]
    validation: list[Row]
    skipped: int
    samples: int | None


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
class Asked:
    """What a sample was asked; the last four are known where the questions are the run's own.

    `video` and `image` are paths below the run's folder.
    """

    task: str
    kind: str | None
    question: str | None
    options: dict[str, str] | None
    answer: str | None
    video_id: str | None
    source: str | None = None
    what_happened: str | None = None
    video: str | None = None
    image: str | None = None


@dataclass(frozen=True)
class Run:
    """All that the report shows of a run. `questions` and `cuts` are keyed by id.

    `models`: where an experiment has several seeds, their mean in their place.
    `machines`: those that ran a job of it; `accounted`: what Slurm has accounted for its jobs, nothing where it has not
    run there.
    """

    root: Path
    config: Config
    models: list[EvaluatedModel]
    training: list[TrainingLog]
    questions: dict[str, AskedQuestion]
    cuts: dict[str, Cut]
    quarantined: list[Quarantined]
    jobs: list[Job]
    accounted: list[Cost]
    parameters: int | None
    machines: list[Machine]

    @property
    def checkpoints(self) -> list[EvaluatedModel]:
        """All that was evaluated, each seed's model by itself."""
        return [one for model in self.models for one in model.checkpoints]

    @property
    def first_checkpoints(self) -> list[EvaluatedModel]:
        """The models, of those with several seeds the first one's."""
        return [model.checkpoints[0] for model in self.models]

    def asked(self, sample: Sample) -> Asked:
        """What a sample was asked, with what convert knows of it where the benchmark's questions are the run's own."""
        known = self.questions.get(sample.question_id) if is_own(sample.task) else None
        row = known or sample
        asked = Asked(sample.task, row.kind, row.question, row.options, row.answer, row.video_id)
        if known is None:
            return asked
        facts = known.record
        return replace(
            asked, source=facts.source, what_happened=facts.caption_part2, video=known.video, image=known.image
        )


def collect_run(root: Path, config: Config) -> Run:
    """Read the run at `root`. Raises InputError naming the file when one that the configuration implies is missing.

    Optional are the benchmark files, the notes on machines, the questions of SeedBench-R1, the encode shards, the base
    model's manifest and the segments.
    """
    split_rows = read_split(root / "split" / "manifest.jsonl")
    seedbench, futurebench = (root / "convert" / f"{name}.jsonl" for name in ("seedbench_r1", "futurebench"))
    files = [*([seedbench] if seedbench.is_file() else []), futurebench]
    questions = {row.id: row for file in files for row in read_rows(AskedQuestion, file)}
    shards = [read_shard(file) for file in sorted((root / "encode" / "shards").glob("*.json"))]
    return Run(
        root=root,
        config=config,
        models=means_over_seeds([_read_model(root, name) for name in evaluated_models(config)], questions),
        training=[_read_training(root, *name) for name in trained_models(config)],
        questions=questions,
        cuts=cuts_by_id(split_rows),
        quarantined=[*read_quarantined(root, split_rows), *(row for shard in shards for row in shard.quarantined)],
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


def _read_accounted(root: Path) -> list[Cost]:
    """Costs by rule from Slurm; a cluster without accounting has none, which the report's log says."""
    try:
        return run_costs(root)
    except InputError as error:
        print(f"report: {error}", file=sys.stderr)
        return []


def _read_model(root: Path, name: ModelName) -> EvaluatedModel:
    experiment, stage = name
    folder = root / "evaluate" / (experiment if stage in (BASE, REFERENCE) else model_name(experiment, stage))
    scores_file = folder / "scores.json"
    content = read_json(scores_file)
    if not isinstance(content, dict) or not isinstance(content.get("scores"), list):
        raise InputError(f"{scores_file}: expected an object with a list 'scores'")
    return EvaluatedModel(
        experiment=experiment,
        stage=stage,
        scores=rows_as(Score, content["scores"], str(scores_file)),
        samples=read_rows(Sample, folder / "samples.jsonl"),
        left_out=tuple(rows_as(LeftOut, content.get("left_out", []), str(scores_file))),
        seen=content.get("vision", {}),
        cache_check=content.get("cache_check") or None,
    )


def _read_training(root: Path, experiment: str, stage: Stage) -> TrainingLog:
    folder = root / experiment / stage
    metrics = checked(read_jsonl(folder / "metrics.jsonl"), folder / "metrics.jsonl", ("step",))
    validation_file = folder / "validation.jsonl"
    validation = checked(read_jsonl(validation_file), validation_file, ("step",))
    manifest = checked([read_json(folder / "manifest.json")], folder / "manifest.json", ("skipped_steps",))
    return TrainingLog(experiment, stage, metrics, validation, manifest[0]["skipped_steps"], manifest[0].get("samples"))


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
