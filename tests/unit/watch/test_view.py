"""The lines that a person reads."""

from pathlib import Path

import pytest

from nep.watch.progress import Progress
from nep.watch.snapshot import JobRow, Snapshot, StageRow
from nep.watch.view import duration, progress_text, view

NOTE = {"user": "ann", "host": "login1", "process": 7, "began": "2026-05-04T06:13:00+02:00"}
STEPS = Progress(310, 1200, "step", 0.5, ("loss 0.5",))


def snapshot(*jobs: JobRow, **changes: object) -> Snapshot:
    stages = (StageRow("sft", 0, 1, None, jobs),) if jobs else ()
    values = {"standing": "under way", "note": NOTE, "done": 3, "total": 9, "report": None, **changes}
    return Snapshot(run="demo", stages=stages, **values)


def job(state: str = "running", progress: Progress | None = None, **changes: object) -> JobRow:
    values = {"says": "", "quiet_s": 0.0, "log": Path("results/demo/logs/train_sft/nep.log"), **changes}
    return JobRow("train_sft nep", state, progress, **values)


@pytest.mark.parametrize(
    ("seconds", "text"), [(44.6, "45 s"), (1900, "32 min"), (7499, "2 h 05 min"), (3 * 86400, "72 h 00 min")]
)
def test_durations_have_two_units_at_most(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_progress_says_rate_and_time_left_where_they_are_known() -> None:
    assert progress_text(STEPS) == "█████░░░░░░░░░░░░░░░ 310 of 1,200 steps, 2 s a step, 30 min left"
    assert progress_text(Progress(310, None, "step", 4.0)) == "310 steps, 4 steps/s"
    assert progress_text(Progress(0, 14, "", None)) == "░░░░░░░░░░░░░░░░░░░░ 0 of 14"
    assert progress_text(Progress(14, 14, "video", 3.0)) == "████████████████████ 14 of 14 videos"


def test_a_run_under_way_shows_its_jobs_with_their_last_figures() -> None:
    head, stage, line, note = view(snapshot(job(progress=STEPS)))
    assert head == "run 'demo': under way (ann on login1, process 7, since 2026-05-04 06:13), 3 of 9 jobs done"
    assert stage.split() == ["sft", "0", "of", "1"]
    assert line.split()[:3] == ["train_sft", "nep", "running"] and line.endswith("30 min left")
    assert note.strip() == "loss 0.5"
    assert max(map(len, view(snapshot(job(progress=STEPS)), width=40))) == 40


def test_a_job_that_is_silent_says_so() -> None:
    assert "nothing for 10 min" in "\n".join(view(snapshot(job(quiet_s=600))))
    assert "nothing for" not in "\n".join(view(snapshot(job(quiet_s=60))))
    assert "nothing for" not in "\n".join(view(snapshot(job("stopped", quiet_s=600))))


def test_each_end_of_a_run_has_its_words() -> None:
    died = view(snapshot(job("stopped"), standing="died"))
    assert "DIED" in died[0] and died[-1] == "run the same command to resume"
    failed = view(snapshot(job("failed", says="error: no"), standing="over", note=None))
    assert failed[0] == "run 'demo': failed, 3 of 9 jobs done"
    assert "error: no" in failed[2] and failed[3].startswith("failed: train_sft nep, its log: results/demo/logs")
    assert view(snapshot(standing="over", note=None))[0] == "run 'demo': stopped, 3 of 9 jobs done"
    page = Path("results/demo/report/index.html")
    assert view(snapshot(standing="over", note=None, done=9, report=page)) == [
        "run 'demo': finished, 9 of 9 jobs done",
        f"report: {page}",
    ]
    assert view(snapshot(standing="absent", note=None, done=0, total=0)) == ["run 'demo': not started in this folder"]
    assert "cannot be checked from this host" in view(snapshot(standing="unknown"))[0]
