from pathlib import Path

import pytest

from nep.train.preemption import Preempted
from nep.workflow import requeue
from nep.workflow.lock import held_as_job, hold_as_run


def test_a_stopped_training_leaves_its_mark_and_a_new_start_removes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = tmp_path / "mark"
    monkeypatch.setenv(requeue.VARIABLE, str(mark))
    Preempted()
    assert mark.exists()
    requeue.forget()
    assert not mark.exists()


def test_without_such_a_submitter_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(requeue.VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    Preempted()
    requeue.forget()
    assert not list(tmp_path.iterdir())


def test_a_job_that_the_next_run_takes_over_does_not_keep_it_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold_as_run(tmp_path).close()
    (tmp_path / "locks").mkdir()
    left = tmp_path / "locks" / "0.input.lock"
    monkeypatch.setenv(requeue.VARIABLE, str(tmp_path / "mark"))
    left.write_text("a.txt\n")
    with held_as_job(tmp_path):
        hold_as_run(tmp_path).close()
    assert not left.exists()
