"""Child processes that do not outlive the job."""

import ctypes
import signal
import sys
from collections.abc import Callable
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_LAST_LINES = 20


def ends_with_parent(how: signal.Signals) -> Callable[[], None]:
    """What a child calls before its program starts (`preexec_fn`): it gets `how` when its parent dies, also of SIGKILL.

    A killed workflow must not leave processes behind that take its restart's memory and cores. Linux only; elsewhere it
    does nothing.
    """

    def call() -> None:
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, how)

    return call


def last_lines(log: Path) -> str:
    """The end of a child's log, for the message of an error."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join((f"the end of {log}:", *lines[-_LAST_LINES:]))
