"""Benchmarks that lmms-eval brings itself: which of their tasks run here, and logged samples as rows of scores."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from nep.benchmarks.benchmark import Logged
from nep.benchmarks.lmms_tasks import COMPLETE, ExternalTask, external_tasks
from nep.benchmarks.registry import LMMS_EVAL
from nep.errors import InputError
from nep.evaluate.tasks import temporalbench
from nep.files import read_json, read_jsonl, write_text
from nep.rows.sample import Sample
from nep.rows.score import LeftOut, Score
from nep.stats.accuracy import OVERALL, score

VARIANT = "lmms_eval"
NEEDS_JUDGE = "needs a judge model"

REPAIR = Path(temporalbench.__file__).with_name("_template_yaml")
# What lmms-eval reads for a repaired task: nothing here imports it.
REPAIRS = (REPAIR, REPAIR.with_name("utils.py"))


@dataclass(frozen=True)
class LeftOutTask:
    """A task that does not run, and why, in words."""

    benchmark: str
    task: str
    reason: str


def planned_external(
    names: Iterable[str], offline: bool, benchmarks: Path | None
) -> tuple[list[ExternalTask], list[LeftOutTask]]:
    """Tasks that run, and those left out with the reason, for the benchmarks among `names` (others are ignored).

    Data must have been fetched (rule fetch_benchmark) when `offline`; a task that always asks a judge, or that needs a
    further model, is left out. The tasks that ask a judge only for answers that their rules cannot read do run
    (`external_env`).
    """
    run: list[ExternalTask] = []
    left_out: list[LeftOutTask] = []
    for name in names:
        if name not in LMMS_EVAL:
            continue
        for task in external_tasks(name):
            reason = _reason(task, offline, benchmarks)
            if reason is None:
                run.append(task)
            else:
                left_out.append(LeftOutTask(name, task.name, reason))
    return run, left_out


def left_out_rows(left_out: Iterable[LeftOutTask]) -> list[LeftOut]:
    """A row for each benchmark all of whose tasks are left out for one reason, else for each task."""
    groups: dict[tuple[str, str], list[str]] = {}
    for one in left_out:
        groups.setdefault((one.benchmark, one.reason), []).append(one.task)
    rows = []
    for (benchmark, reason), tasks in groups.items():
        names = [benchmark] if len(tasks) == len(external_tasks(benchmark)) else tasks
        rows += [LeftOut(task=name, reason=reason) for name in names]
    return rows


def write_repairs(folder: Path, tasks: Iterable[ExternalTask]) -> None:
    """Write the YAML files of the tasks that are asked under another name than lmms-eval's."""
    for task in tasks:
        if task.asked_as != task.name:
            definition = {"include": [str(REPAIR), str(task.file)], "task": task.asked_as}
            write_text(folder / f"{task.asked_as}.yaml", yaml.safe_dump(definition))


def external_env(benchmarks: Path, offline: bool) -> dict[str, str]:
    """Environment of lmms-eval for these tasks, to be laid over the usual one.

    Offline, the judge's address is a closed port of this machine: an answer that the rules of TempCompass cannot read
    then counts as wrong, as lmms-eval itself counts it where the judge does not answer, and as `unreadable` here.
    """
    folder = benchmarks.resolve()
    own = {
        "HF_HOME": str(folder),
        "HF_HUB_CACHE": str(folder / "hub"),
        "HF_DATASETS_CACHE": str(folder / "datasets"),
        "LMMS_EVAL_DATASETS_CACHE": str(folder / "datasets"),
    }
    judge = {"API_TYPE": "openai", "OPENAI_API_URL": "http://127.0.0.1:9/", "OPENAI_API_KEY": ""}
    return own | judge if offline else own


def _reason(task: ExternalTask, offline: bool, benchmarks: Path | None) -> str | None:
    benchmark = LMMS_EVAL[task.benchmark]
    if offline and task.name in benchmark.judged:
        return NEEDS_JUDGE
    if offline and task.name in benchmark.extra:
        return f"needs a download: {benchmark.extra[task.name]}"
    if benchmarks is None:
        return f"needs a download: data set {task.repo}, and evaluate.benchmarks names no folder"
    if offline and not (benchmarks / task.media / COMPLETE).is_file():
        return f"needs a download: data set {task.repo} is not below {benchmarks} (rule fetch_benchmark)"
    return None


def read_external(log: Path, task: ExternalTask, errors: Mapping[tuple[str, int], str]) -> tuple[list[Sample], float]:
    """Samples that lmms-eval logged for a task in the file `log`, and its own aggregate of them in percent.

    `errors`: what the model raised, by task and document. Raises InputError if the mean of the samples is not
    lmms-eval's figure.
    """
    rows = sorted(read_jsonl(log), key=lambda row: row["doc_id"])
    samples = [_sample(task, row, errors.get((task.asked_as, row["doc_id"]))) for row in rows]
    stated = _stated(log, task)
    found = aggregate(samples)
    if abs(found - stated) > 1e-3:
        raise InputError(f"{log}: samples make {found} %, but lmms-eval states {stated} %")
    return samples, stated


def aggregate(samples: Sequence[Sample]) -> float:
    """lmms-eval's own figure of a task, in percent, from its samples: the share of right ones among those it counts."""
    counted = [sample.correct for sample in samples if sample.counted]
    return 100 * sum(counted) / len(counted) if counted else 0.0


def external_rows(benchmark: str, samples: Sequence[Sample]) -> list[Score]:
    """Scores: overall first, then each kind; n, accuracy and Wilson's interval over counted samples."""
    kinds = sorted({kind for sample in samples for kind in sample.kinds})
    groups = {OVERALL: list(samples)}
    groups |= {kind: [sample for sample in samples if kind in sample.kinds] for kind in kinds}
    rows = []
    for split, members in groups.items():
        counted = [sample.correct for sample in members if sample.counted]
        if counted:
            unreadable = [sample for sample in members if sample.unreadable]
            rows.append(score(benchmark, VARIANT, split, counted, members, unreadable))
    return rows


def _stated(log: Path, task: ExternalTask) -> float:
    benchmark = LMMS_EVAL[task.benchmark]
    date = log.name.removesuffix(f"_samples_{task.asked_as}.jsonl")
    results = read_json(log.with_name(f"{date}_results.json"))["results"][task.asked_as]
    value = results.get(f"{benchmark.metric},none")
    # Of several figures the first one counts.
    value = value[0] if isinstance(value, list) else value
    if not isinstance(value, int | float):
        raise InputError(f"{log.parent}: lmms-eval states no {benchmark.metric} of task {task.name}")
    return benchmark.percent * value


def _sample(task: ExternalTask, row: Mapping[str, Any], error: str | None) -> Sample:
    benchmark, completion = LMMS_EVAL[task.benchmark], _completion(row)
    read = benchmark.read(Logged(task.name, task.config, row["doc_id"], completion, row[benchmark.metric]))
    return Sample(
        task=task.benchmark,
        subtask=task.name,
        variant=VARIANT,
        control=None,
        kind=read.kinds[0],
        completion=completion,
        # lmms-eval's rules read the answers.
        parsed=None,
        error=error,
        **vars(read),
    )


def _completion(row: Mapping[str, Any]) -> str:
    response = row["filtered_resps"]
    while isinstance(response, list):
        response = response[0]
    return response if isinstance(response, str) else json.dumps(response)
