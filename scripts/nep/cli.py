"""How an entry point is run: the lock that a job holds, its note for the report, and the exit status of bad input."""

import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

from nep.errors import InputError
from nep.workflow.lock import held_as_job
from nep.workflow.machine import note_machine

EXIT_BAD_INPUT = 2


def run_entry_point(main: Callable[[], None], is_job: bool = True) -> None:
    """Run a script's `main`; end with one clear line and status 2 on bad input instead of a traceback.

    While a job runs, it holds the run's lock: a killed workflow is not started again beside an orphaned job of it.
    It notes for the report on which machine it runs.
    """
    try:
        with held_as_job(Path(".snakemake")) if is_job else nullcontext():
            if is_job:
                note_machine()
            main()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(EXIT_BAD_INPUT)
