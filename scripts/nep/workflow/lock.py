"""One run of a name at a time in a folder; runs of different names beside each other; nothing to remove after a crash.

Snakemake's lock files do not say who holds them, stay after `kill -9` or a power loss, and are all deleted by the first
run that ends: of two runs in one folder the other loses its own, or fails where it was about to write them. The
profiles therefore switch them off. A run holds a kernel lock (flock) on `.snakemake/nep/<run>/run.lock` instead, which
ends with its process, and notes there who it is; its jobs hold `jobs.lock` beside it. A note without a lock was left by
a run that died: on this machine the next run goes on, from another machine nobody can tell, and the user is asked to
look. Where the file system has no flock, the note's process number decides.
"""

import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from getpass import getuser
from pathlib import Path
from typing import IO, Any, Literal

from nep.workflow import requeue

# A run that starts looks at all locks, each for an instant.
GLANCE_S = 1.0
VARIABLE = "NEP_RUN"
FOLDER = "nep"


# `unknown`: begun on another machine and not ended, as far as can be seen.
Standing = Literal["absent", "under way", "over", "died", "unknown"]


class LockedError(Exception):
    """The run may not start: the message says who holds it, or seems to, and what can be done."""


class RunLock:
    """A run's lock. `found`: the note of a run that died, None after one that ended."""

    def __init__(self, snakemake_dir: Path, run: str) -> None:
        """Hold it until `release`, or the process's end. Raises LockedError where another run or a job of it lives."""
        self._path = _run_file(snakemake_dir, run)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._stream = _open(self._path)
        held = _lock_soon(self._stream)
        self.found: dict[str, Any] | None = _note_in(self._stream)
        if held is False or (self.found and not _is_over(self.found, by_lock=held is True)):
            self._stream.close()
            raise LockedError(_explanation(run, self._path, self.found))
        with _open(_jobs_file(snakemake_dir, run)) as jobs:
            if _lock_soon(jobs) is False:
                self._stream.close()
                raise LockedError(
                    f"run {run!r}: the run has died, but a job that it started still works in this folder; "
                    "wait until it has ended, or end it, and type the same command"
                )
        began = datetime.now().astimezone().isoformat(timespec="seconds")
        self._write(
            json.dumps({"user": getuser(), "host": socket.gethostname(), "process": os.getpid(), "began": began})
        )

    def release(self) -> None:
        """Let the run go; it has ended."""
        self._write("")
        self._stream.close()

    def _write(self, text: str) -> None:
        self._stream.seek(0)
        self._stream.truncate()
        self._stream.write(text)
        self._stream.flush()


def standing(snakemake_dir: Path, run: str) -> tuple[Standing, dict[str, Any] | None]:
    """Whether a run lives, by its lock, and its note; `absent` where no run of this name was ever begun here."""
    path = _run_file(snakemake_dir, run)
    if not path.is_file():
        return "absent", None
    with path.open("r", encoding="utf-8") as stream:
        # Shared, so that two who look are not in each other's way; a run that starts waits for GLANCE_S.
        free = _lock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
        note = _note_in(stream)
    if free is False:
        return "under way", note
    if note is None:
        return "over", None
    if _is_over(note, by_lock=free is True):
        return "died", note
    return ("under way" if note["host"] == socket.gethostname() else "unknown"), note


def announce(run: str) -> None:
    """Tell the jobs that this process starts the name of their run."""
    os.environ[VARIABLE] = run


@contextmanager
def held_as_job(snakemake_dir: Path) -> Iterator[None]:
    """Hold the run's lock as a job of it does.

    Nothing is held where there is no run (an entry point used by hand), nor by a job that the next run takes over.
    """
    run = os.environ.get(VARIABLE)
    if requeue.is_possible() or run is None or not _run_file(snakemake_dir, run).is_file():
        yield
        return
    with _open(_jobs_file(snakemake_dir, run)) as stream:
        _lock(stream, fcntl.LOCK_SH)
        yield


def clear_left_lock_files(snakemake_dir: Path) -> None:
    """Remove the lock files that Snakemake itself, used without a profile, left when it was killed.

    Only where every run of this folder was on this machine and none lives: else they stay, and Snakemake explains.
    """
    files = sorted((snakemake_dir / FOLDER).glob("*/*.lock"))
    if files and all(map(_is_free, files)):
        for left in (snakemake_dir / "locks").glob("*.lock"):
            left.unlink(missing_ok=True)


def _run_file(snakemake_dir: Path, run: str) -> Path:
    return snakemake_dir / FOLDER / run / "run.lock"


def _jobs_file(snakemake_dir: Path, run: str) -> Path:
    return snakemake_dir / FOLDER / run / "jobs.lock"


def _explanation(run: str, path: Path, note: dict[str, Any] | None) -> str:
    if note is None:
        return f"run {run!r} is under way in this folder (lock {path}); wait for it, or give this one another `run:`"
    who = f"by {note['user']} on {note['host']} (process {note['process']}) at {note['began']}"
    if note["host"] == socket.gethostname():
        return f"run {run!r} is under way: started {who}; wait for it, end it, or give this one another `run:`"
    return (
        f"run {run!r} was started {who} and has not ended; it cannot be checked from this host. "
        f"Check there; if it is dead: rm {path}"
    )


def _is_over(note: dict[str, Any], by_lock: bool) -> bool:
    """Whether the run of a note that is not locked, or cannot be, has surely ended."""
    if note["host"] != socket.gethostname():
        return False
    return by_lock or not Path(f"/proc/{note['process']}").exists()


def _is_free(path: Path) -> bool:
    with _open(path) as stream:
        note = _note_in(stream)
        return _try_exclusively(stream) is True and (note is None or _is_over(note, by_lock=True))


def _note_in(stream: IO[str]) -> dict[str, Any] | None:
    try:
        return json.loads(stream.read())
    except json.JSONDecodeError:
        # Empty after an end; half a note was never written by a run that went on to start a job.
        return None


def _lock(stream: IO[str], kind: int) -> bool | None:
    """Whether the lock is held now; None where the file system has no such locks."""
    try:
        fcntl.flock(stream, kind)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _try_exclusively(stream: IO[str]) -> bool | None:
    return _lock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _lock_soon(stream: IO[str]) -> bool | None:
    deadline = time.monotonic() + GLANCE_S
    while (held := _try_exclusively(stream)) is False and time.monotonic() < deadline:
        time.sleep(0.02)
    return held


def _open(path: Path) -> IO[str]:
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+", encoding="utf-8")
