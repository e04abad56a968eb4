"""Preemption: SIGTERM or SIGUSR1 lets a run finish its step, write a checkpoint and end with a status of its own.

Status 75 (EX_TEMPFAIL of sysexits.h) means: nothing is wrong, the same command goes on at the very step.
"""

import signal
from types import FrameType

from nep.workflow import requeue

EXIT_RESUME = 75
SIGNALS = (signal.SIGTERM, signal.SIGUSR1)

_received: list[int] = []


class Preempted(SystemExit):
    """Ends the process with `EXIT_RESUME`, after the checkpoint has been written; asks to be queued again."""

    def __init__(self) -> None:
        requeue.ask()
        super().__init__(EXIT_RESUME)


def listen() -> None:
    """From now on a signal of `SIGNALS` is noted and does not end the process."""
    requeue.forget()
    for number in SIGNALS:
        signal.signal(number, _note)


def is_requested() -> bool:
    """Whether a signal has come since `listen`."""
    return bool(_received)


def _note(number: int, frame: FrameType | None) -> None:
    _received.append(number)
