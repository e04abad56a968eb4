"""Removing the lock that a killed Snakemake left, and only that one.

Snakemake's lock files do not say who holds them: after `kill -9` or a power loss the next run is refused until somebody
types `--unlock`. Here every run of the workflow, and every job of it, also holds a kernel lock (flock) on one file; it
ends with its process. A run that gets it exclusively knows that no other run lives, nor a job that outlived its killed
Snakemake: the lock files are left-overs. In every other case, and where the file system has no flock, Snakemake's own
lock decides.
"""

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from nep.workflow import requeue

LOCK_FILE = "nep.lock"


def hold_as_run(snakemake_dir: Path) -> IO[str]:
    """Hold the folder (`.snakemake`) until the returned file is closed; clear a dead run's lock files first.

    They are cleared only if the last run was on this machine: flock may not reach the others on a shared file system.
    """
    snakemake_dir.mkdir(parents=True, exist_ok=True)
    stream = _open(snakemake_dir / LOCK_FILE)
    if not _try_lock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB):
        _try_lock(stream, fcntl.LOCK_SH)
        return stream
    lock_files = list((snakemake_dir / "locks").glob("*.lock"))
    host = socket.gethostname()
    if stream.read() == host:
        for path in lock_files:
            path.unlink()
    elif not lock_files:
        _write(stream, host)
    _try_lock(stream, fcntl.LOCK_SH)
    return stream


@contextmanager
def held_as_job(snakemake_dir: Path) -> Iterator[None]:
    """Hold the folder as a job of a run does.

    Nothing is held where there was no run (an entry point used by hand), nor by a job that the next run takes over.
    """
    if requeue.is_possible() or not (snakemake_dir / LOCK_FILE).is_file():
        yield
        return
    with _open(snakemake_dir / LOCK_FILE) as stream:
        _try_lock(stream, fcntl.LOCK_SH)
        yield


def _try_lock(stream: IO[str], kind: int) -> bool:
    try:
        fcntl.flock(stream, kind)
    except OSError:
        return False
    return True


def _open(path: Path) -> IO[str]:
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+", encoding="utf-8")


def _write(stream: IO[str], text: str) -> None:
    stream.seek(0)
    stream.truncate()
    stream.write(text)
    stream.flush()
