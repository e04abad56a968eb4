"""The view that follows a run: redrawn in place on a terminal, printed now and then where the output is a file."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from nep.watch.snakemake_log import newest_log
from nep.watch.snapshot import Snapshot, take_snapshot
from nep.watch.view import headline, view

REDRAW_S = 2
# Into a file: when jobs have ended, and at least so often.
PRINT_S = 600
# What Snakemake prints last where jobs have failed, before it says why; for other errors that many lines.
END = "\nExiting because a job execution failed."
LAST_LINES = 30
UP_AND_CLEAR = "\x1b[{}F\x1b[J"


class Screen:
    """Where the view goes."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._drawn = 0
        self._printed: tuple[str, float] | None = None

    def show(self, snapshot: Snapshot) -> None:
        """Replace what is on the terminal; into a file print what is new."""
        if self._stream.isatty():
            size = shutil.get_terminal_size()
            lines = view(snapshot, size.columns)[: size.lines - 1]
            self._stream.write((UP_AND_CLEAR.format(self._drawn) if self._drawn else "") + "\n".join(lines) + "\n")
            self._drawn = len(lines)
        elif self._is_new(snapshot):
            self._stream.write("\n".join([*view(snapshot), "", ""]))
            self._printed = headline(snapshot), time.monotonic()
        self._stream.flush()

    def _is_new(self, snapshot: Snapshot) -> bool:
        if self._printed is None:
            return True
        line, moment = self._printed
        return headline(snapshot) != line or time.monotonic() - moment >= PRINT_S


def look(root: Path, run: str | None, after: float = 0) -> Snapshot | None:
    """The run as it stands now, or the newest one where none is named; None where none is to be found."""
    found = newest_log(root / ".snakemake", run, after)
    if found is None:
        return take_snapshot(root, run, None, time.time()) if run else None
    log, name = found
    return take_snapshot(root, name, log, time.time())


def follow(root: Path, run: str | None, stream: TextIO) -> None:
    """Show a run until it has ended; one that has not started is waited for. Ctrl-C ends the view, not the run."""
    screen = Screen(stream)
    try:
        while True:
            snapshot = look(root, run)
            if snapshot is not None:
                screen.show(snapshot)
                if snapshot.is_over:
                    return
            time.sleep(REDRAW_S)
    except KeyboardInterrupt:
        return


def run_and_follow(command: Sequence[str], stream: TextIO) -> int:
    """Start Snakemake and show its run in the place of what it prints; its last words if it fails. Its exit status.

    Where the output is no terminal, Snakemake takes the place of this process, and prints.
    """
    if not stream.isatty():
        stream.flush()
        os.execvp(command[0], command)
    screen, began = Screen(stream), time.time()
    # Ctrl-C reaches Snakemake as well, which then ends its jobs; the view stays until it has.
    signal.signal(signal.SIGINT, lambda *_: None)
    with tempfile.TemporaryFile() as printed:
        with subprocess.Popen(command, stdout=printed, stderr=subprocess.STDOUT) as process:
            ended = False
            while not ended:
                ended = _has_ended(process)
                if (snapshot := look(Path(), None, int(began))) is not None:
                    screen.show(snapshot)
        if process.returncode != 0 or snapshot is None:
            printed.seek(0)
            sys.stderr.write(_last_part(printed.read().decode("utf-8", errors="replace")))
    return process.returncode


def _last_part(text: str) -> str:
    """What Snakemake has printed at the end of a run that failed."""
    _, end, rest = text.rpartition(END)
    return "\n".join(["", *(end + rest).splitlines()[0 if end else -LAST_LINES :], ""])


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Whether the process ends within the time of one view."""
    try:
        process.wait(REDRAW_S)
    except subprocess.TimeoutExpired:
        return False
    return True
