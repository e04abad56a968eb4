"""Benchmarks that lmms-eval brings itself: which of their tasks run here, and logged samples as rows of scores."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from nep.benchmarks.registry import BENCHMARKS, COMPLETE, ExternalTask, external_tasks
from nep.errors import InputError
from nep.evaluate.tasks import temporalbench
from nep.files import read_json, read_jsonl, write_text
from nep.stats.accuracy import OVERALL, wilson_interval

VARIANT = "lmms_eval"
NEEDS_JUDGE = "needs a judge model"

REPAIR = Path(temporalbench.__file__).with_name("_template_yaml")
# What lmms-eval reads for a repaired task: nothing here imports it.
REPAIRS = (REPAIR, REPAIR.with_name("utils.py"))


@dataclass(frozen=True)
class LeftOut:
    """A task that does not run, and why, in words."""

    benchmark: str
    task: str
    reason: str


def planned_external(
    names: Iterable[str], offline: bool, benchmarks: Path | None
) -> tuple[list[ExternalTask], list[LeftOut]]:
    """Tasks that run, and those left out with the reason, for the benchmarks among `names` (others are ignored).

    Data must have been fetched (rule fetch_benchmark) when `offline`; a task that always asks a judge, or that needs a
    further model, is left out. The tasks that ask a judge only for answers that their rules cannot read do run
    (`external_env`).
    """
    run: list[ExternalTask] = []
    left_out: list[LeftOut] = []
    for name in names:
        if name not in BENCHMARKS:
            continue
        for task in external_tasks(name):
            reason = _reason(task, offline, benchmarks)
            if reason is None:
                run.append(task)
            else:
                left_out.append(LeftOut(name, task.name, reason))
    return run, left_out


def left_out_rows(left_out: Iterable[LeftOut]) -> list[dict[str, str]]:
    """`{"task", "reason"}` for each benchmark all of whose tasks are left out for one reason, else for each task."""
    groups: dict[tuple[str, str], list[str]] = {}
    for one in left_out:
        groups.setdefault((one.benchmark, one.reason), []).append(one.task)
    rows = []
    for (benchmark, reason), tasks in groups.items():
        names = [benchmark] if len(tasks) == len(external_tasks(benchmark)) else tasks
        rows += [{"task": name, "reason": reason} for name in names]
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
    external = BENCHMARKS[task.benchmark]
    if offline and task.name in external.judged:
        return NEEDS_JUDGE
    if offline and task.name in dict(external.extra):
        return f"needs a download: {dict(external.extra)[task.name]}"
    if benchmarks is None:
        return f"needs a download: data set {task.repo}, and evaluate.benchmarks names no folder"
    if offline and not (benchmarks / task.media / COMPLETE).is_file():
        return f"needs a download: data set {task.repo} is not below {benchmarks} (rule fetch_benchmark)"
    return None


def read_external(
    log: Path, task: ExternalTask, errors: Mapping[tuple[str, int], str]
) -> tuple[list[dict[str, Any]], float]:
    """Samples that lmms-eval logged for a task in the file `log`, and its own aggregate of them in percent.

    A sample is `{"task" (the benchmark), "subtask", "question_id", "video_id", "kind", "kinds", "variant", "control",
    "answer", "completion", "parsed", "correct", "error", "unreadable", "counted"}`; `error` is what the model raised,
    of `errors` by task and document; `counted` is whether lmms-eval's aggregate counts it; `video_id` is None where its
    log names no video, and `parsed` always, as lmms-eval's rules read the answers. Raises InputError if the mean of the
    samples is not lmms-eval's figure.
    """
    rows = sorted(read_jsonl(log), key=lambda row: row["doc_id"])
    samples = [_sample(task, row, errors.get((task.asked_as, row["doc_id"]))) for row in rows]
    stated = _stated(log, task)
    found = aggregate(samples)
    if abs(found - stated) > 1e-3:
        raise InputError(f"{log}: samples make {found} %, but lmms-eval states {stated} %")
    return samples, stated


def aggregate(samples: Sequence[Mapping[str, Any]]) -> float:
    """lmms-eval's own figure of a task, in percent, from its samples: the share of right ones among those it counts.

    LongVideoBench's is a mean over groups of duration and category, each question in one of either: the same number.
    """
    counted = [sample["correct"] for sample in samples if sample["counted"]]
    return 100 * sum(counted) / len(counted) if counted else 0.0


def external_rows(benchmark: str, samples: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows of `scores.json`: overall first, then each kind; n, accuracy and Wilson's interval over counted samples."""
    kinds = sorted({kind for sample in samples for kind in sample["kinds"]})
    groups = {OVERALL: list(samples)}
    groups |= {kind: [sample for sample in samples if kind in sample["kinds"]] for kind in kinds}
    return [
        _row(benchmark, split, members)
        for split, members in groups.items()
        if any(sample["counted"] for sample in members)
    ]


def _row(benchmark: str, split: str, samples: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    counted = [sample["correct"] for sample in samples if sample["counted"]]
    interval = wilson_interval(sum(counted), len(counted))
    return {
        "task": benchmark,
        "variant": VARIANT,
        "split": split,
        "n": len(counted),
        "accuracy": _percent(sum(counted) / len(counted)),
        "ci_low": _percent(interval.low),
        "ci_high": _percent(interval.high),
        "unreadable": sum(sample["unreadable"] and sample["error"] is None for sample in samples),
        "failed": sum(sample["error"] is not None for sample in samples),
    }


def _percent(share: float) -> float:
    return round(100 * share, 4)


def _stated(log: Path, task: ExternalTask) -> float:
    date = log.name.removesuffix(f"_samples_{task.asked_as}.jsonl")
    results = read_json(log.with_name(f"{date}_results.json"))["results"][task.asked_as]
    value = results.get(f"{BENCHMARKS[task.benchmark].metric},none")
    if isinstance(value, list):
        # TemporalBench states binary accuracy, then that of whole videos.
        value = value[0]
    if not isinstance(value, int | float):
        raise InputError(f"{log.parent}: lmms-eval states no {BENCHMARKS[task.benchmark].metric} of task {task.name}")
    return 100 * value if task.benchmark == "longvideobench_val_v" else float(value)


def _sample(task: ExternalTask, row: Mapping[str, Any], error: str | None) -> dict[str, Any]:
    logged = row[BENCHMARKS[task.benchmark].metric]
    read = _READERS[task.benchmark](task, row, logged)
    return {
        "task": task.benchmark,
        "subtask": task.name,
        "variant": VARIANT,
        "control": None,
        "kind": read["kinds"][0],
        "completion": _completion(row),
        "parsed": None,
        "error": error,
        "counted": True,
        **read,
    }


def _completion(row: Mapping[str, Any]) -> str:
    response = row["filtered_resps"]
    while isinstance(response, list):
        response = response[0]
    return response if isinstance(response, str) else json.dumps(response)


def _videomme(task: ExternalTask, row: Mapping[str, Any], logged: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "question_id": logged["question_id"],
        "video_id": logged["videoID"],
        "kinds": [logged["duration"]],
        "answer": logged["answer"],
        "correct": logged["pred_answer"] == logged["answer"],
        "unreadable": logged["pred_answer"] not in ("A", "B", "C", "D"),
    }


def _mvbench(task: ExternalTask, row: Mapping[str, Any], logged: Mapping[str, Any]) -> dict[str, Any]:
    # An empty answer is left out of lmms-eval's mean: it is neither right nor wrong there.
    return {
        "question_id": f"{task.name}/{row['doc_id']}",
        "video_id": None,
        "kinds": [task.config],
        "answer": logged["gt_answer"],
        "correct": logged["score"] == 1,
        "unreadable": logged["pred_answer"] == "",
        "counted": logged["pred_answer"] != "",
    }


def _longvideobench(task: ExternalTask, row: Mapping[str, Any], logged: Mapping[str, Any]) -> dict[str, Any]:
    # lmms-eval draws a letter at random where it finds none.
    return {
        "question_id": logged["id"],
        "video_id": None,
        "kinds": [f"{logged['duration_group']} s", logged["question_category"]],
        "answer": logged["answer"],
        "correct": logged["parsed_pred"] == logged["answer"],
        "unreadable": not set(_completion(row)) & set("ABCDE"),
    }


def _tempcompass(task: ExternalTask, row: Mapping[str, Any], logged: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "question_id": f"{task.name}/{row['doc_id']}",
        "video_id": logged["video_id"],
        "kinds": [logged["dim"], task.config],
        "answer": logged["gt-answer"],
        "correct": logged["rating"] == 1,
        "unreadable": not logged.get("match_success", True) and not logged.get("chatgpt_response"),
    }


def _temporalbench(task: ExternalTask, row: Mapping[str, Any], logged: Mapping[str, Any]) -> dict[str, Any]:
    item, answer = logged["item"], logged["pred"]
    return {
        "question_id": str(item["idx"]),
        "video_id": item["video_name"],
        "kinds": [task.name.removeprefix("temporalbench_")],
        "answer": item["GT"],
        "correct": answer[:1].lower() == item["GT"].lower(),
        "unreadable": answer[:1].upper() not in ("A", "B"),
    }


_READERS: dict[str, Callable[[ExternalTask, Mapping[str, Any], Mapping[str, Any]], dict[str, Any]]] = {
    "videomme": _videomme,
    "mvbench": _mvbench,
    "longvideobench_val_v": _longvideobench,
    "tempcompass": _tempcompass,
    "temporalbench": _temporalbench,
}
