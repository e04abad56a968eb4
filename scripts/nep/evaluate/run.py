"""Evaluation of one model: all its tasks in one lmms-eval process, then samples and scores."""

import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from nep.benchmarks.lmms_tasks import ExternalTask, fetched_commit
from nep.benchmarks.registry import FUTUREBENCH
from nep.config.encode import Encode
from nep.config.evaluate import Evaluate
from nep.config.seedbench import SEEDBENCH
from nep.config.vision import Vision
from nep.errors import InputError
from nep.evaluate.backends import Backend
from nep.evaluate.external import REPAIRS, external_rows, left_out_rows, planned_external, read_external, write_repairs
from nep.evaluate.ledger import Ledger
from nep.evaluate.lmms import (
    LmmsEvalError,
    LmmsEvalRun,
    lmms_eval_version,
    logged_samples,
    run_lmms_eval,
    sample_log,
)
from nep.evaluate.questions import control_paths, first_part_paths, read_questions, shown_files
from nep.evaluate.task_folder import TEMPLATE, Asked, Task, planned_tasks, write_task_folder
from nep.files import read_json, sha256_of_file, sha256_of_json, write_json
from nep.fingerprint import code_fingerprint
from nep.jobs.store import Shelf
from nep.rows.base import write_rows
from nep.rows.question import AskedQuestion
from nep.rows.sample import Sample
from nep.rows.score import LEGACY, Score
from nep.stats.accuracy import accuracy_rows
from nep.workflow.device import need_cuda

STAGE = "evaluate"
LIBRARIES = ("lmms_eval", "torch", "transformers", "decord", "qwen-vl-utils", "av")


@dataclass(frozen=True)
class Job:
    """One model on all questions.

    Attributes:
        name, fingerprint: of the model.
        backend: how lmms-eval runs it, given the videos that it will see, and whether there are others.
        questions, seedbench: files of the convert stage; None where their benchmarks are not asked.
        encode: the vision cache's settings, which the model's logits are compared under.
    """

    name: str
    fingerprint: str
    backend: Callable[[Sequence[Path], bool], Backend]
    questions: Path | None
    seedbench: Path | None
    controls_dir: Path
    prompts: Path
    vision: Vision
    encode: Encode
    evaluate: Evaluate
    seed: int
    run_dir: Path
    out_dir: Path

    @property
    def benchmarks(self) -> Path | None:
        """Where the data of lmms-eval's own benchmarks lie."""
        return Path(self.evaluate.benchmarks) if self.evaluate.benchmarks else None


def evaluate_model(job: Job) -> None:
    """Write `samples.jsonl` and `scores.json` to the job's folder, or neither and raise InputError.

    One of its reasons: the model is to run on CUDA here, and CUDA cannot be used.
    """
    asked = [_asked(job, task) for task in planned_tasks(job.evaluate)]
    videos = sorted({path for one in asked for path in one.videos.values() if path is not None})
    external, left_out = planned_external(job.evaluate.tasks, job.evaluate.offline, job.benchmarks)
    for one in left_out:
        print(f"{STAGE}: {one.task} is left out: it {one.reason}", file=sys.stderr)
    if not asked and not external:
        raise InputError(f"evaluate.tasks: all are left out; the first, as it {left_out[0].reason}")
    backend = job.backend(videos, bool(external))

    key = cache_key_inputs(job, backend, asked, external)
    shelf = Shelf(STAGE, run=job.run_dir, root=job.out_dir)
    if shelf.fetch(key) is not None:
        print(f"{STAGE}: taken from the store, nothing is evaluated", file=sys.stderr)
        return
    if job.evaluate.device.startswith("cuda") and not backend.remote:
        need_cuda(f"evaluate.device is '{job.evaluate.device}'", "set it to cpu")
    run = _lmms_eval_run(job, asked, external, backend, work_folder(job, key))
    for left in ("tasks", "out"):
        shutil.rmtree(run.folder / left, ignore_errors=True)
    write_task_folder(run.folder / "tasks", asked, job.prompts, job.evaluate, job.run_dir)
    write_repairs(run.folder / "tasks", external)
    run_lmms_eval(run, backend)

    own = {one.task: logged_samples(run, one.task.name, one.questions) for one in asked}
    others = _external_samples(run, external)
    samples = [row for rows in (*own.values(), *others.values()) for row in rows]
    _check_failures(job, samples, run)
    write_rows(job.out_dir / "samples.jsonl", samples)
    scores = [score for task, rows in own.items() for score in score_rows(task, rows)]
    scores += [score for benchmark, rows in others.items() for score in external_rows(benchmark, rows)]
    content = {
        "model": job.name,
        "fingerprint": job.fingerprint,
        "vision": dict(backend.seen),
        "settings": {
            "lmms_eval": lmms_eval_version(),
            "wrapper": backend.model,
            "device": job.evaluate.device,
            "batch_size": backend.batch_size,
            "max_new_tokens": {variant: job.evaluate.max_new_tokens[variant] for variant in job.evaluate.variants},
        },
        "cache_check": read_json(run.check_file) if run.check_file.exists() else None,
        "left_out": [row.to_json() for row in left_out_rows(left_out)],
        "scores": [score.to_json() for score in scores],
    }
    write_json(job.out_dir / "scores.json", content)
    shelf.publish(key, outputs=[job.out_dir / "samples.jsonl", job.out_dir / "scores.json"])
    shutil.rmtree(run.folder / "cache", ignore_errors=True)


def score_rows(task: Task, samples: Sequence[Sample]) -> list[Score]:
    """Scores of a task: by the anchored parser, and on the real videos by the published one too."""
    rows = accuracy_rows(samples, task.benchmark, task.label)
    if task.control is None:
        rows += accuracy_rows(samples, task.benchmark, task.variant + LEGACY, "legacy_")
    return rows


def model_fingerprint(manifest: Path) -> str:
    """The checkpoint's fingerprint from its manifest. Raises InputError if there is none."""
    fingerprint = read_json(manifest).get("fingerprint")
    if not isinstance(fingerprint, str) or not fingerprint:
        raise InputError(f"{manifest}: fingerprint {fingerprint!r}, should be the hash of the checkpoint's files")
    return fingerprint


def cache_key_inputs(
    job: Job, backend: Backend, asked: Sequence[Asked], external: Sequence[ExternalTask]
) -> dict[str, Any]:
    """All that decides the scores: model, recipe, logic, libraries, and the content of every file that is read."""
    shown = [path for one in asked for path in one.videos.values() if path is not None]
    shown += [path for one in asked for path in shown_files(one.questions, "image", job.run_dir).values() if path]
    digests = {path: sha256_of_file(path) for path in sorted(set(shown))}
    scripts = Path(__file__).resolve().parents[2]
    return {
        "name": job.name,
        "model": job.fingerprint,
        "questions": {one.task.name: [row.to_json() for row in one.questions] for one in asked},
        "media": {
            one.task.name: {question: path and digests[path] for question, path in one.videos.items()} for one in asked
        },
        "shown": sorted(digests.values()),
        "external": {task.name: fetched_commit(task, job.benchmarks) for task in external},
        "prompts": sha256_of_file(job.prompts),
        "tasks": [sha256_of_file(path) for path in (TEMPLATE, *REPAIRS)],
        "vision": job.vision.model_dump(),
        "encode": job.encode.dtype,
        "evaluate": job.evaluate.result_settings(),
        "seed": job.seed,
        "code": [code_fingerprint(scripts / name, scripts) for name in ("evaluate_model.py", "run_lmms_eval.py")],
        "libraries": {name: version(name) for name in LIBRARIES} | dict(backend.versions),
    }


def work_folder(job: Job, key: Mapping[str, Any]) -> Path:
    """Where a job's task folder, completions, caches and log lie: one folder for each model, recipe and data, so that
    jobs which run at the same time do not meet, and a killed one goes on."""
    return job.run_dir / "work" / STAGE / f"{job.name}-{sha256_of_json(key)[:16]}"


def _lmms_eval_run(
    job: Job, asked: Sequence[Asked], external: Sequence[ExternalTask], backend: Backend, folder: Path
) -> LmmsEvalRun:
    return LmmsEvalRun(
        folder=folder,
        tasks=[*(one.task.name for one in asked), *(task.asked_as for task in external)],
        seed=job.seed,
        device=job.evaluate.device,
        threads=job.evaluate.threads,
        limit=job.evaluate.limit,
        check=_check(job, asked) if backend.comparable else None,
        benchmarks=job.benchmarks if external else None,
        offline=job.evaluate.offline,
    )


def _check(job: Job, asked: Sequence[Asked]) -> dict[str, Any] | None:
    """The first question with a video and no image, and what its logits are compared under."""
    for one in asked:
        for number, row in enumerate(one.questions):
            if one.videos[row.id] is not None and not row.image:
                blocks = {"vision": job.vision.model_dump(), "encode": job.encode.model_dump()}
                return {"task": one.task.name, "doc": number, **blocks}
    return None


def _asked(job: Job, task: Task) -> Asked:
    """The questions of a task and their videos."""
    if task.benchmark != FUTUREBENCH:
        level = task.benchmark.removeprefix(f"{SEEDBENCH}_")
        questions = read_questions(job.seedbench, job.evaluate.limit, [level])
        return Asked(task, questions, shown_files(questions, "video", job.run_dir))
    questions = read_questions(job.questions, job.evaluate.limit)
    videos = _videos(job, task, questions)
    return Asked(task, questions, {row.id: videos[row.video_id] for row in questions})


def _videos(job: Job, task: Task, questions: Sequence[AskedQuestion]) -> Mapping[str, Path | None]:
    if task.control is None:
        return first_part_paths(questions, job.run_dir)
    if task.control == "text_only":
        return {row.video_id: None for row in questions}
    return control_paths(questions, job.run_dir, job.controls_dir / f"{task.control}.json")


def _external_samples(run: LmmsEvalRun, external: Sequence[ExternalTask]) -> dict[str, list[Sample]]:
    """Samples by benchmark, over all of its tasks."""
    errors = Ledger(run.ledger).errors()
    samples: dict[str, list[Sample]] = {}
    for task in external:
        rows, _ = read_external(sample_log(run, task.asked_as), task, errors)
        samples.setdefault(task.benchmark, []).extend(rows)
    return samples


def _check_failures(job: Job, samples: Sequence[Sample], run: LmmsEvalRun) -> None:
    failed = [row for row in samples if row.error is not None]
    for row in failed:
        print(f"{STAGE}: {job.name}, {row.task}, question {row.question_id}: {row.error}", file=sys.stderr)
    if len(failed) > job.evaluate.max_failed_fraction * len(samples):
        raise LmmsEvalError(
            f"{job.name} failed at {len(failed)} of {len(samples)} questions, more than evaluate.max_failed_fraction "
            f"({job.evaluate.max_failed_fraction:g}) allows; the first: {failed[0].error}; the others' completions "
            f"are kept in {run.ledger}, and a further run asks the failed ones again"
        )
