"""Rooms of the library: what each may import, and which of them decide the result of an entry point."""

from pathlib import Path

import pytest
from support.imports import SCRIPTS, imported

from nep.fingerprint import EXECUTION_ONLY, local_closure

# Lowest first: a module imports from its own room and from those above it in this list. A name without a folder is a
# module of its own.
ROOMS = (
    "errors",
    "files",
    "layout",
    "rows",
    "benchmarks",
    "config",
    "fingerprint",
    "model_manifest",
    "stats",
    "workflow",
    "cli",
    "jobs",
    "rollouts",
    "ask",
    "records",
    "video",
    "dedup",
    "shots",
    "annotate",
    "split",
    "download",
    "data",
    "own_benchmark",
    "model",
    "encode",
    "demo",
    "train/runtime",
    "train",
    "train/rl",
    "evaluate",
    "predict",
    "export",
    "slurm",
    "report",
    "publish",
    "web",
    "review",
    "app",
    "plan",
    "watch",
)
# The rooms whose code is in an entry point's fingerprint: an edit there runs its stage again.
DECIDED_BY = {
    "convert_datasets.py": "config data dedup errors files layout records rows stats",
    "annotate_shard.py": "annotate ask config errors files fingerprint jobs records rows shots video",
    "choose_questions.py": "config data errors files own_benchmark records rows stats",
    "encode_shard.py": "config data encode errors files fingerprint jobs layout model rows video",
    "evaluate_model.py": "benchmarks config data errors evaluate files fingerprint jobs rollouts rows stats video",
    "export_experiment.py": "config data errors export files layout rows",
    "export_hf.py": "errors export files layout rows",
    "fetch_archive.py": "config download errors files records rows",
    "fetch_benchmark.py": "benchmarks download errors files",
    "fetch_model.py": "config download errors files model_manifest",
    "finish_download.py": "config download errors files records rows",
    "frames_shard.py": "config download errors files fingerprint jobs records rows split video",
    "hash_shard.py": "dedup errors files fingerprint jobs rows video",
    "launch_training.py": "",
    "list_source.py": "config download errors files records rows",
    "make_controls.py": "config errors evaluate files jobs rows stats video",
    "make_data_card.py": "errors files layout report rows video",
    "make_demo_data.py": "config data demo errors files rows",
    "make_report.py": "benchmarks config errors files layout report rows slurm stats video",
    "make_tiny_model.py": "config data demo errors files model rows",
    "make_demo_videos.py": "config data demo errors files rows",
    "merge_annotations.py": "annotate ask config errors files jobs records rows shots video",
    "merge_encode.py": "config data encode errors files jobs layout rows",
    "merge_hashes.py": "dedup errors files jobs rows video",
    "merge_shots.py": "config dedup errors files jobs records rows shots video",
    "merge_questions.py": "annotate ask config data errors files jobs own_benchmark records rows stats video",
    "merge_split.py": "config errors files jobs layout rows split video",
    "parse_records.py": "errors files records rows",
    "plan_run.py": "annotate ask benchmarks config download errors files layout model model_manifest plan records "
    "report rows slurm stats train video",
    "predict.py": "annotate ask config data download encode errors files fingerprint layout model predict records rows "
    "split stats video",
    "print_results.py": "benchmarks config errors files layout report rows slurm stats",
    "publish.py": "download errors export files layout publish records rows",
    "review_questions.py": "benchmarks data errors files layout own_benchmark records report review rows split stats "
    "video web",
    "run_lmms_eval.py": "config encode errors evaluate files model rows video",
    "serve_app.py": "annotate app ask benchmarks config data encode errors files fingerprint layout model predict "
    "records report rows split stats video web",
    "serve_rollouts.py": "rollouts",
    "shots_shard.py": "config dedup errors files fingerprint jobs records rows shots video",
    "slurm_costs.py": "errors slurm",
    "split_shard.py": "config errors files fingerprint jobs layout rows split video",
    "train_grpo.py": "config data errors files fingerprint jobs layout model model_manifest rollouts rows stats "
    "train train/rl",
    "train_sft.py": "config data errors files fingerprint jobs layout model model_manifest rollouts rows train",
    "watch_run.py": "errors evaluate files layout watch",
    "write_space.py": "app benchmarks config data errors files layout predict records report rows stats video",
    "write_questions_shard.py": "annotate ask config data errors files fingerprint jobs own_benchmark records "
    "rows stats video",
}
# What a training draws its rows with, of a room that otherwise makes data sets.
DATA_OF_TRAININGS = {"nep/data/__init__.py", "nep/data/draw.py", "nep/data/selection.py"}


def room_of(module: Path) -> str | None:
    """The room of a file of the library; None for a file that is in none."""
    names = module.relative_to(SCRIPTS / "nep").with_suffix("").parts
    if names == ("__init__",):
        return None
    folder = "/".join(names[:-1])
    return next(
        (room for room in sorted(ROOMS, key=len, reverse=True) if f"{folder}/".startswith(f"{room}/")), names[0]
    )


def closure(entry: str) -> set[str]:
    """Paths below `scripts/` of what an entry point's fingerprint covers."""
    return {path.relative_to(SCRIPTS).as_posix() for path in local_closure(SCRIPTS / entry, SCRIPTS)}


def test_every_module_has_a_room_and_every_room_a_module() -> None:
    assert {room_of(file) for file in (SCRIPTS / "nep").rglob("*.py")} - {None} == set(ROOMS)


def test_no_import_goes_up() -> None:
    upward = [
        f"{module.relative_to(SCRIPTS)} imports {file.relative_to(SCRIPTS)}"
        for module in sorted((SCRIPTS / "nep").rglob("*.py"))
        for file in imported(module)
        if room_of(module) and ROOMS.index(room_of(file)) > ROOMS.index(room_of(module))
    ]
    assert not upward


def test_the_rooms_of_every_entry_point_are_listed() -> None:
    assert {entry.name for entry in SCRIPTS.glob("*.py")} == set(DECIDED_BY)


@pytest.mark.parametrize("entry", DECIDED_BY)
def test_a_result_is_decided_by_these_rooms_alone(entry: str) -> None:
    rooms = {room_of(SCRIPTS / path) for path in closure(entry) if path.startswith("nep/")} - {None}
    assert rooms == set(DECIDED_BY[entry].split())


@pytest.mark.parametrize("entry", ["train_sft.py", "train_grpo.py"])
def test_a_training_is_not_decided_by_how_data_sets_are_made(entry: str) -> None:
    assert {path for path in closure(entry) if path.startswith("nep/data/")} == DATA_OF_TRAININGS


@pytest.mark.parametrize("entry", ["evaluate_model.py", "fetch_benchmark.py", "run_lmms_eval.py"])
def test_what_is_shown_of_a_benchmark_runs_no_evaluation(entry: str) -> None:
    assert "nep/benchmarks/shown.py" in closure("make_report.py")
    assert "nep/benchmarks/shown.py" not in closure(entry)


def test_what_no_fingerprint_covers_exists() -> None:
    for dotted in EXECUTION_ONLY:
        file = SCRIPTS.joinpath(*dotted.split("."))
        assert file.is_dir() or file.with_suffix(".py").is_file(), dotted
