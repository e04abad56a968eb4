"""Learning rate by step, and logs that resume."""

from pathlib import Path

import pytest

from nep.files import read_jsonl
from nep.train.runtime.step_log import StepLog
from nep.train.schedule import learning_rate


def test_warm_up_rises_to_the_peak_and_cosine_falls_to_zero() -> None:
    rates = [learning_rate(step, 20, 1e-3, 0.1, "cosine") for step in range(20)]
    assert rates[:3] == pytest.approx([5e-4, 1e-3, 1e-3])
    assert rates[11] == pytest.approx(5e-4)
    assert rates[2:] == sorted(rates[2:], reverse=True)
    assert 0 < rates[-1] < 1e-5


def test_constant_schedule_stays_at_the_peak() -> None:
    assert {learning_rate(step, 7, 2e-6, 0.0, "constant") for step in range(7)} == {2e-6}


def test_a_resumed_log_drops_later_rows_and_a_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    log = StepLog(path, last_step=0, writes=True)
    for step in range(1, 6):
        log.write({"step": step})
    with path.open("a", encoding="utf-8") as stream:
        stream.write('{"step": 6, "lo')
    resumed = StepLog(path, last_step=3, writes=True)
    resumed.write({"step": 4, "again": True})
    assert read_jsonl(path) == [{"step": 1}, {"step": 2}, {"step": 3}, {"step": 4, "again": True}]


def test_a_run_from_the_start_keeps_no_old_row(tmp_path: Path) -> None:
    path = tmp_path / "validation.jsonl"
    StepLog(path, last_step=0, writes=True).write({"step": 0})
    StepLog(path, last_step=0, writes=True).write({"step": 0, "again": True})
    assert read_jsonl(path) == [{"step": 0, "again": True}]


def test_rows_of_the_start_stay_where_the_start_models_weights_are_enough_for_them(tmp_path: Path) -> None:
    path = tmp_path / "measured.jsonl"
    log = StepLog(path, last_step=0, writes=True, keep_start=True)
    for step in (0, 0, 2):
        log.write({"step": step})
    assert StepLog(path, last_step=0, writes=True, keep_start=True).kept == [{"step": 0}, {"step": 0}]
    assert len(read_jsonl(path)) == 2


def test_a_following_process_writes_nothing(tmp_path: Path) -> None:
    StepLog(tmp_path / "metrics.jsonl", last_step=0, writes=False).write({"step": 1})
    assert not list(tmp_path.iterdir())
