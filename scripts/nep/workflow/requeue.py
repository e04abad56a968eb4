"""How a job says that it stopped on request and is to be queued again, to whoever submitted it.

A submitter that can queue a job again names a file in the environment of the job. A job that has such a file is taken
over by the next run where its own run has died.
"""

import os
from pathlib import Path

VARIABLE = "NEP_REQUEUE_MARK"


def is_possible() -> bool:
    """Whether the submitter of this process can queue it again."""
    return VARIABLE in os.environ


def ask() -> None:
    """Ask the submitter, if it can, to queue this job again."""
    if is_possible():
        Path(os.environ[VARIABLE]).touch()


def forget() -> None:
    """Withdraw what this job asked for when it was last queued."""
    if is_possible():
        Path(os.environ[VARIABLE]).unlink(missing_ok=True)
