"""How a run starts: what the Snakefile does before the first job."""

import atexit
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

from nep.workflow.lock import LockedError, RunLock, announce, clear_left_lock_files

SNAKEMAKE_DIR = Path(".snakemake")


def prepare_run(run: str, is_main_process: bool) -> None:
    """Tell jobs the name of their run; at its start, remove lock files that a killed Snakemake left."""
    announce(run)
    if is_main_process:
        clear_left_lock_files(SNAKEMAKE_DIR)


def acquire_run_lock(run: str) -> None:
    """Hold the lock of this run's name until the process ends; a run of another name is not in the way.

    Raises WorkflowError where another run of this name, or a job of it, lives.
    """
    try:
        lock = RunLock(SNAKEMAKE_DIR, run)
    except LockedError as error:
        raise WorkflowError(str(error)) from None
    atexit.register(lock.release)
    if lock.found:
        print("the last run of this name died; going on from what it left", file=sys.stderr)
