"""The stages of a run: their rules, the stages whose files they read, and their folders."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Stage:
    """One stage, named as its file in `rules/`.

    `reads` leaves out the stages that others imply. `folders` lie below the run's; in a stage of training they are one
    experiment's, and so is `work`, where its checkpoints lie.
    """

    name: str
    rules: tuple[str, ...]
    reads: tuple[str, ...]
    folders: tuple[str, ...]
    work: tuple[str, ...] = ()


# In the order of the workflow. A test compares rules and reads with Snakemake's own graph.
STAGES = (
    Stage("demo", ("make_demo_data", "make_demo_videos", "make_tiny_model"), (), ("hub", "plain", "tiny_model")),
    Stage(
        "download",
        ("list_source", "fetch_archive", "frames_shard", "finish_download", "fetch_model", "fetch_benchmark"),
        ("demo",),
        ("download", "models"),
    ),
    # Of plain videos alone.
    Stage("shots", ("shots_shard", "merge_shots"), ("download",), ("shots",)),
    Stage("annotate", ("annotate_shard", "merge_annotations"), ("shots",), ("annotate",)),
    Stage(
        "questions",
        ("write_questions_shard", "merge_questions", "choose_questions"),
        ("annotate",),
        ("questions",),
    ),
    Stage("records", ("parse_records",), ("questions",), ("records",)),
    Stage("hash", ("hash_shard", "merge_hashes"), ("records",), ("hash",)),
    Stage("split", ("split_shard", "merge_split"), ("records",), ("split", "segments")),
    Stage("convert", ("convert_datasets",), ("hash", "split"), ("convert",)),
    Stage("export", ("export_experiment", "export_datasets"), (), ("export",)),
    Stage("encode", ("encode_shard", "merge_encode"), ("convert",), ("encode",)),
    Stage("sft", ("train_sft",), ("encode",), ("{experiment}/sft",), ("work/sft/{experiment}",)),
    Stage("grpo", ("train_grpo",), ("sft",), ("{experiment}/grpo",), ("work/grpo/{experiment}",)),
    Stage("evaluate", ("make_controls", "evaluate_model", "evaluate_reference"), ("grpo",), ("evaluate",)),
    Stage("report", ("make_report", "make_data_card"), ("evaluate",), ("report",)),
)
STAGE_RULES = {stage.name: stage.rules for stage in STAGES}
# (stage, stage that reads its files)
STAGE_EDGES = tuple((source, stage.name) for stage in STAGES for source in stage.reads)
# What belongs to no stage: among rules, and among folders.
OTHER = "other"
OTHER_FOLDER = "work"


def stage_of(rule: str) -> str:
    """The stage that a rule belongs to."""
    return next((stage for stage, rules in STAGE_RULES.items() if rule in rules), OTHER)


def stage_folders(stage: str, experiments: Iterable[str | None]) -> list[str]:
    """Folders of a stage's results, below the run's; those of a training for each of the `experiments`."""
    folders = next(entry.folders for entry in STAGES if entry.name == stage)
    return _filled(folders, experiments)


def work_folders(stage: str, experiments: Iterable[str | None]) -> list[str]:
    """Folders of a training's checkpoints, below the run's; none for other stages."""
    return _filled(next(entry.work for entry in STAGES if entry.name == stage), experiments)


def _filled(folders: tuple[str, ...], experiments: Iterable[str | None]) -> list[str]:
    names = list(experiments)
    return list(dict.fromkeys(folder.format(experiment=name) for folder in folders for name in names or [None]))
