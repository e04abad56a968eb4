"""What lmms-eval's process is given, and what is done when it does not answer every question."""

import os
from pathlib import Path

import pytest
from support.evaluation_run import question
from support.rows import sample

from nep.evaluate.ledger import Answer, Ledger
from nep.evaluate.lmms import LmmsEvalError, LmmsEvalRun, logged_samples, subprocess_env
from nep.evaluate.task_folder import Task
from nep.files import write_jsonl

TASK = Task("futurebench", "direct").name


def lmms_eval_run(folder: Path, **changes) -> LmmsEvalRun:
    plain = {"tasks": [TASK], "seed": 0, "device": "cpu", "threads": 3, "limit": None, "check": None}
    plain |= {"benchmarks": None, "offline": True}
    return LmmsEvalRun(folder=folder, **{**plain, **changes})


def test_the_process_is_offline_and_its_caches_lie_in_its_folder(tmp_path: Path):
    variables = subprocess_env(lmms_eval_run(tmp_path))
    assert variables["HF_HUB_OFFLINE"] == "1"
    assert variables["OMP_NUM_THREADS"] == "3"
    assert variables["CUDA_VISIBLE_DEVICES"] == ""
    assert str(Path("scripts").resolve()) in variables["PYTHONPATH"].split(os.pathsep)
    for name in ("HF_HOME", "HF_DATASETS_CACHE", "XDG_CACHE_HOME"):
        assert Path(variables[name]).is_relative_to(tmp_path)
    assert subprocess_env(lmms_eval_run(tmp_path, benchmarks=Path("/data/hf")))["HF_HOME"] == "/data/hf"


def log(folder: Path, *question_ids: str) -> None:
    (folder / "lmms_eval.log").write_text("loading\nValueError: out of frames\n")
    rows = []
    for doc, identity in enumerate(question_ids):
        logged = sample(identity).model_dump(exclude={"error"}, exclude_unset=True)
        rows.append({"doc_id": doc, "accuracy": {**logged, "score": 1.0}})
    write_jsonl(folder / "out/model" / f"20260101_000000_samples_{TASK}.jsonl", rows)


def test_samples_are_joined_with_the_questions(tmp_path: Path):
    log(tmp_path, "q1", "q0")
    answers = [Answer(TASK, 0, "", "OutOfMemoryError: no memory"), Answer(TASK, 1, "B")]
    Ledger(lmms_eval_run(tmp_path).ledger).write("0-0.jsonl", answers)
    assert logged_samples(lmms_eval_run(tmp_path), TASK, [question(0), question(1)]) == [
        sample("q0"),
        sample("q1", error="OutOfMemoryError: no memory"),
    ]


@pytest.mark.parametrize(
    ("logged", "message"),
    [(("q0",), "without .'q1'"), (("q0", "q0"), "'q0' has two samples"), (("q0", "q1", "q2"), "3 samples for 2")],
)
def test_samples_must_be_one_for_each_question(tmp_path: Path, logged: tuple[str, ...], message: str):
    log(tmp_path, *logged)
    with pytest.raises(LmmsEvalError, match=message):
        logged_samples(lmms_eval_run(tmp_path), TASK, [question(0), question(1)])


def test_a_run_without_samples_shows_the_end_of_the_log(tmp_path: Path):
    (tmp_path / "lmms_eval.log").write_text("loading\r 10%\r 20%\nValueError: out of frames\n")
    with pytest.raises(LmmsEvalError, match=r"(?s)no samples of task nep_futurebench_direct.*out of frames"):
        logged_samples(lmms_eval_run(tmp_path), TASK, [question(0)])
