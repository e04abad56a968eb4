"""Progress from bars that tqdm draws, from logs that trainings write, and from a ledger."""

import os
from pathlib import Path

import pytest
from tqdm import tqdm

from nep.jobs.ledger import Ledger
from nep.rows.signature import SignedVideo
from nep.train.runtime.step_log import StepLog
from nep.watch.progress import TAIL_BYTES, bar_progress, last_rows, ledger_progress, tail, training_progress


def drawn(steps: int, total: int, seconds: float, label: str, unit: str = "it") -> str:
    """What tqdm writes into a log while it does `steps` of `seconds` each."""
    meters = (
        tqdm.format_meter(step, total, step * seconds, ncols=80, prefix=label, unit=unit, postfix=f"loss={step:.4f}")
        for step in range(steps + 1)
    )
    return "".join(f"\r{meter}" for meter in meters)


@pytest.mark.parametrize(("seconds", "rate"), [(0.05, 20), (4.0, 0.25)])
def test_the_last_bar_of_a_log_is_read(seconds: float, rate: float) -> None:
    text = "weights  host  0.001\n" + drawn(3, 8, seconds, "sft", unit="step")
    progress = bar_progress(text)
    assert (progress.done, progress.total, progress.unit) == (3, 8, "step")
    assert progress.rate == pytest.approx(rate)
    assert progress.left_s == pytest.approx(5 / progress.rate)


def test_bars_are_told_by_their_label() -> None:
    text = drawn(5, 8, 1, "Model Responding") + "\n" + drawn(2, 16, 1, "Postprocessing")
    assert bar_progress(text, "Model Responding").done == 5
    assert bar_progress(text).total == 16
    assert bar_progress(text, "Encoding") is None
    assert bar_progress("no bar here: 3/8 [00:00]") is None


def test_a_training_is_as_far_as_its_logs_say(tmp_path: Path) -> None:
    metrics, timings = (StepLog(tmp_path / f"{name}.jsonl", 0, writes=True) for name in ("metrics", "timings"))
    for step in range(1, 41):
        metrics.write({"step": step, "loss": 2.0 / step, "lr": 1e-3, "grad_norm": None})
        timings.write({"step": step, "seconds": 10.0 if step <= 20 else 0.5})
    with metrics.path.open("a") as stream:
        stream.write('{"step": 41, "lo')
    rows = [last_rows(tmp_path / f"{name}.jsonl") for name in ("metrics", "timings", "validation")]
    progress = training_progress("sft", *rows, total=100)
    assert (progress.done, progress.total, progress.rate) == (40, 100, 2.0)
    assert progress.left_s == 30
    assert progress.notes == ("loss 0.05, lr 0.001",)
    assert training_progress("sft", [], [], [], 100) is None
    held_out = [{"step": 0, "loss": 3.0}, {"step": 20, "loss": 1.25}]
    assert training_progress("sft", *rows[:2], held_out, None).notes[1] == "validation at step 20: loss 1.25"


def test_the_end_of_a_long_log_has_whole_rows(tmp_path: Path) -> None:
    log = StepLog(tmp_path / "metrics.jsonl", 0, writes=False)
    log.path.write_text("".join(f'{{"step": {step}, "loss": 0.{step:09d}}}\n' for step in range(1, 5001)))
    assert log.path.stat().st_size > TAIL_BYTES
    rows = last_rows(log.path)
    assert rows[-1]["step"] == 5000 and len(rows) > 1000
    assert [row["step"] for row in rows] == list(range(rows[0]["step"], 5001))
    assert tail(tmp_path / "absent.log") == "" and last_rows(tmp_path / "absent.jsonl") == []


def test_a_ledger_tells_the_rate_of_this_run_alone(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, SignedVideo, holds=lambda row: True)
    for number in range(9):
        ledger.store(f"video-{number}", {}, SignedVideo(id=f"video-{number}", signature={}))
        moment = 1000 if number < 3 else 5000 + number
        os.utime(tmp_path / f"video-{number}.json", (moment, moment))
    written = [path.stat().st_mtime for path in tmp_path.glob("*.json")]
    progress = ledger_progress(written, total=21, since=5000, now=5012)
    assert (progress.done, progress.total, progress.rate) == (9, 21, 0.5)
    assert progress.left_s == 24
    assert ledger_progress(written, 21, since=6000, now=6010).rate is None
    assert ledger_progress([], 21, since=0, now=0).left_s is None
