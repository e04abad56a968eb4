"""Where a run's logs lie: `<folder>/<rule>/<wildcards>.log`, and beside it what a cluster keeps of the same job.

The folder is told in the environment to those that submit the run's jobs.
"""

import os
from collections.abc import Sequence
from pathlib import Path

VARIABLE = "NEP_LOGS"


def announce(folder: str) -> None:
    """Tell the programs that this process starts where the run's logs lie."""
    os.environ[VARIABLE] = folder


def stem_of(name: str, wildcards: Sequence[str] = ()) -> Path | None:
    """Path of a job's logs without their suffix; None where no run has told its folder."""
    folder = os.environ.get(VARIABLE)
    return Path(folder, name, *wildcards).absolute() if folder else None
