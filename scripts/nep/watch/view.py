"""A run as lines for a terminal."""

from collections.abc import Iterator
from datetime import datetime

from nep.watch.progress import Progress
from nep.watch.snapshot import JobRow, Snapshot, StageRow

INDENT = "  "
STAGE_WIDTH, JOB_WIDTH, STATE_WIDTH = 10, 34, 8
BAR_WIDTH = 20
# A job that has written nothing for so long is worth a look.
QUIET_S = 300
MINUTE_S, HOUR_S = 60, 3600


def view(snapshot: Snapshot, width: int | None = None) -> list[str]:
    """Who runs it and how far it is, then the stages, each with its unfinished jobs; no line longer than `width`."""
    lines = [headline(snapshot)]
    for stage in snapshot.stages:
        lines.append(_stage_line(stage))
        for job in stage.jobs:
            lines += _job_lines(job)
    lines += _last_words(snapshot)
    return [line if width is None or len(line) <= width else f"{line[: width - 1]}…" for line in lines]


def headline(snapshot: Snapshot) -> str:
    """The run's name, whether it lives, and its jobs."""
    if snapshot.standing == "absent" and not snapshot.stages:
        return f"run '{snapshot.run}': not started in this folder"
    jobs = f", {snapshot.done} of {snapshot.total} jobs done" if snapshot.total else ""
    return f"run '{snapshot.run}': {_standing(snapshot)}{jobs}"


def duration(seconds: float) -> str:
    """Two units at most: `2 h 05 min`, `31 min`, `45 s`."""
    if seconds < MINUTE_S:
        return f"{seconds:.0f} s"
    if seconds < HOUR_S:
        return f"{seconds / MINUTE_S:.0f} min"
    hours, minutes = divmod(round(seconds / MINUTE_S), 60)
    return f"{hours} h {minutes:02d} min"


def progress_text(progress: Progress) -> str:
    """`310 of 1,200 steps, 2.1 s a step, 31 min left`; without a total, or before the first rate, less."""
    units = f" {progress.unit}s" if progress.unit else ""
    if progress.total is None:
        parts = [f"{progress.done:,}{units}"]
    else:
        share = progress.done / progress.total if progress.total else 1.0
        filled = "█" * int(share * BAR_WIDTH)
        parts = [f"{filled:░<{BAR_WIDTH}} {progress.done:,} of {progress.total:,}{units}"]
    if progress.rate and progress.left_s != 0:
        parts.append(_rate_text(progress.rate, progress.unit))
    if progress.left_s:
        parts.append(f"{duration(progress.left_s)} left")
    return ", ".join(parts)


def _rate_text(rate: float, unit: str) -> str:
    return f"{rate:.3g} {unit}s/s".replace(" s/s", "/s") if rate >= 1 else f"{1 / rate:.3g} s a {unit or 'piece'}"


def _standing(snapshot: Snapshot) -> str:
    if snapshot.note is None:
        if snapshot.standing != "over":
            return snapshot.standing
        return "failed" if snapshot.failed else "finished" if snapshot.done == snapshot.total else "stopped"
    note = snapshot.note
    began = datetime.fromisoformat(note["began"]).strftime("%Y-%m-%d %H:%M")
    who = f"{note['user']} on {note['host']}, process {note['process']}, since {began}"
    words = {"died": "DIED", "unknown": "cannot be checked from this host"}
    return f"{words.get(snapshot.standing, snapshot.standing)} ({who})"


def _stage_line(stage: StageRow) -> str:
    jobs = f"{stage.done} of {stage.total}".ljust(JOB_WIDTH - STAGE_WIDTH + len(INDENT) + 1)
    progress = progress_text(stage.progress) if stage.progress else ""
    return f"{stage.stage:<{STAGE_WIDTH}}{jobs}{'':<{STATE_WIDTH}} {progress}".rstrip()


def _job_lines(job: JobRow) -> Iterator[str]:
    told = progress_text(job.progress) if job.progress else job.says
    quiet = f"  (has written nothing for {duration(job.quiet_s)})" if _is_quiet(job) else ""
    yield f"{INDENT}{job.name:<{JOB_WIDTH}} {job.state:<{STATE_WIDTH}} {told}{quiet}".rstrip()
    for note in job.progress.notes if job.progress else ():
        yield f"{'':<{len(INDENT) + JOB_WIDTH + 1 + STATE_WIDTH}} {note}"


def _is_quiet(job: JobRow) -> bool:
    return job.state == "running" and job.quiet_s >= QUIET_S


def _last_words(snapshot: Snapshot) -> Iterator[str]:
    """Where to look next."""
    for job in snapshot.failed:
        yield f"failed: {job.name}, its log: {job.log}"
    if snapshot.is_over and snapshot.done < snapshot.total and not snapshot.failed:
        yield "run the same command to resume"
    if snapshot.report is not None and snapshot.done == snapshot.total:
        yield f"report: {snapshot.report}"
