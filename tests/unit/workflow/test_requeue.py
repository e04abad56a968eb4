from pathlib import Path

import pytest

from nep.train.runtime.preemption import Preempted
from nep.workflow import requeue
from nep.workflow.lock import RunLock, held_as_job


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
    monkeypatch.setenv("NEP_RUN", "demo")
    RunLock(tmp_path, "demo").release()
    monkeypatch.setenv(requeue.VARIABLE, str(tmp_path / "mark"))
    with held_as_job(tmp_path):
        RunLock(tmp_path, "demo").release()
