"""torchrun for preemptible runs: signals go to all processes of the run, and their exit status comes back.

torchrun itself would end the processes 30 s after SIGTERM, die of SIGUSR1, and end in status 1 whatever they ended in.
"""

import signal
import sys
from types import FrameType

import psutil
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.run import parse_args, run

from nep.train.preemption import EXIT_RESUME, SIGNALS

HANDLED_BY_TORCHRUN = "SIGINT,SIGHUP,SIGQUIT"


def launch(arguments: list[str]) -> None:
    """Run with torchrun's `arguments`; exit with `EXIT_RESUME` where a process did, else with the first bad status."""
    options = parse_args(["--signals-to-handle", HANDLED_BY_TORCHRUN, *arguments])
    for number in SIGNALS:
        signal.signal(number, _hand_on)
    try:
        run(options)
    except ChildFailedError as error:
        statuses = [failure.exitcode for failure in error.failures.values()]
        _, first = error.get_first_failure()
        sys.exit(EXIT_RESUME if EXIT_RESUME in statuses else max(first.exitcode, 1))


def _hand_on(number: int, frame: FrameType | None) -> None:
    processes = psutil.Process().children()
    for process in processes:
        process.send_signal(number)
    if not processes:
        sys.exit(EXIT_RESUME)
