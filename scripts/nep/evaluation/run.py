"""Evaluation of one model: every variant and control in one lmms-eval process, then samples and scores."""

import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from nep.config import Control, Evaluate, Vision
from nep.errors import InputError
from nep.evaluation.lmms import check_model, lmms_eval_version, logged_samples, run_lmms_eval, safe_batch_size
from nep.evaluation.questions import control_paths, first_part_paths, read_questions
from nep.evaluation.statistics import accuracy_rows
from nep.evaluation.task_folder import TEMPLATE, Task, planned_tasks, write_task_folder
from nep.files import read_json, sha256_of_file, sha256_of_json, write_json, write_jsonl
from nep.fingerprint import code_fingerprint
from nep.store.shelf import Shelf

STAGE = "evaluate"
BENCHMARK = "futurebench"
LIBRARIES = ("lmms_eval", "torch", "transformers", "decord", "qwen-vl-utils", "av")


@dataclass(frozen=True)
class Job:
    """One model on one set of questions. `model_manifest` is a JSON file with the checkpoint's `fingerprint`."""

    model_dir: Path
    model_name: str
    model_manifest: Path
    questions: Path
    controls_dir: Path
    prompts: Path
    vision: Vision
    evaluate: Evaluate
    seed: int
    run_dir: Path
    out_dir: Path


def evaluate_model(job: Job) -> None:
    """Write `samples.jsonl` and `scores.json` to the job's folder, or neither and raise InputError."""
    _check_variants(job.evaluate)
    check_model(job.model_dir, job.evaluate.model_type)
    fingerprint = model_fingerprint(job.model_manifest)
    questions = read_questions(job.questions, job.evaluate.limit)
    tasks = planned_tasks(job.evaluate)
    media = _media(job, questions)
    videos = [path for paths in media.values() for path in paths.values() if path is not None]
    batch_size = safe_batch_size(videos, job.vision, job.evaluate.batch_size)

    made_from = what_decides(job, fingerprint, media)
    shelf = Shelf(STAGE, run=job.run_dir, root=job.out_dir)
    if shelf.take(made_from) is not None:
        print(f"{STAGE}: taken from the store, nothing is evaluated", file=sys.stderr)
        return
    folder = work_folder(job, made_from)
    shutil.rmtree(folder, ignore_errors=True)
    write_task_folder(folder / "tasks", tasks, questions, media, job.prompts, job.evaluate)
    run_lmms_eval(folder, job.model_dir, tasks, job.vision, job.evaluate, batch_size, job.seed)

    samples = {task: logged_samples(folder, task, questions) for task in tasks}
    write_jsonl(job.out_dir / "samples.jsonl", (row for task in tasks for row in samples[task]))
    scores = {
        "model": job.model_name,
        "fingerprint": fingerprint,
        "vision": job.vision.model_dump(),
        "settings": {
            "lmms_eval": lmms_eval_version(),
            "model_type": job.evaluate.model_type,
            "device": job.evaluate.device,
            "batch_size": batch_size,
            "max_new_tokens": {task.variant: job.evaluate.max_new_tokens[task.variant] for task in tasks},
        },
        "scores": [row for task in tasks for row in score_rows(task, samples[task])],
    }
    write_json(job.out_dir / "scores.json", scores)
    shelf.publish(made_from, outputs=[job.out_dir / "samples.jsonl", job.out_dir / "scores.json"])
    shutil.rmtree(folder / "cache", ignore_errors=True)


def score_rows(task: Task, samples: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of `scores.json` for a task: by the anchored parser, and on the real videos by the published one too."""
    rows = [{"task": BENCHMARK, "variant": task.label, **row} for row in accuracy_rows(samples, "parsed", "correct")]
    if task.control is None:
        legacy = accuracy_rows(samples, "legacy_parsed", "legacy_correct")
        rows += [{"task": BENCHMARK, "variant": f"{task.variant}_legacy", **row} for row in legacy]
    return rows


def model_fingerprint(manifest: Path) -> str:
    """The checkpoint's fingerprint from its manifest. Raises InputError if there is none."""
    fingerprint = read_json(manifest).get("fingerprint")
    if not isinstance(fingerprint, str) or not fingerprint:
        raise InputError(f"{manifest}: fingerprint {fingerprint!r}, should be the hash of the checkpoint's files")
    return fingerprint


def what_decides(
    job: Job, fingerprint: str, media: Mapping[Control | None, Mapping[str, Path | None]]
) -> dict[str, Any]:
    """All that decides the scores: model, recipe, logic, libraries, and the content of every file that is read."""
    videos = {path for paths in media.values() for path in paths.values() if path is not None}
    digests = {path: sha256_of_file(path) for path in sorted(videos)}
    room = Path(__file__).resolve().parent
    return {
        "name": job.model_name,
        "model": fingerprint,
        "questions": sha256_of_file(job.questions),
        "media": {
            control or "real": {video: path and digests[path] for video, path in paths.items()}
            for control, paths in media.items()
        },
        "prompts": sha256_of_file(job.prompts),
        "template": sha256_of_file(TEMPLATE),
        "vision": job.vision.model_dump(),
        "evaluate": job.evaluate.result_settings(),
        "seed": job.seed,
        "code": code_fingerprint(Path(__file__), room.parents[1]),
        "libraries": {name: version(name) for name in LIBRARIES},
    }


def work_folder(job: Job, made_from: dict[str, Any]) -> Path:
    """Where a job's task folder, caches and log lie: one folder for each model, recipe and data, so that jobs which run
    at the same time do not meet."""
    return job.run_dir / "work" / STAGE / f"{job.model_name}-{sha256_of_json(made_from)[:16]}"


def _check_variants(evaluate: Evaluate) -> None:
    for variant in evaluate.variants:
        if variant not in evaluate.max_new_tokens:
            raise InputError(f"evaluate.max_new_tokens: no number for the variant {variant!r}")


def _media(job: Job, questions: Sequence[dict[str, Any]]) -> dict[Control | None, dict[str, Path | None]]:
    seen = first_part_paths(questions, job.run_dir)
    media: dict[Control | None, dict[str, Path | None]] = {None: dict(seen), "text_only": dict.fromkeys(seen)}
    for control in job.evaluate.video_controls:
        media[control] = dict(control_paths(questions, job.run_dir, job.controls_dir / f"{control}.json"))
    return media
