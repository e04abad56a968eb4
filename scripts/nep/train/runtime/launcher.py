"""torchrun for preemptible runs: signals go to all processes of the run, and their exit status comes back.

torchrun itself would end the processes 30 s after SIGTERM, die of SIGUSR1, and end in status 1 whatever they ended in.
On several nodes srun starts one launcher on each; they meet where srun was called, on the job's first node.
"""

import os
import signal
import sys
from collections.abc import Mapping
from types import FrameType

import psutil
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.run import parse_args, run

from nep.train.runtime.preemption import EXIT_RESUME, SIGNALS, Preempted
from nep.workflow.device import asked_for_cpu, trains_on_cuda

HANDLED_BY_TORCHRUN = "SIGINT,SIGHUP,SIGQUIT"
FIRST_PORT, PORTS = 20000, 10000


def launch(arguments: list[str]) -> None:
    """Run with torchrun's `arguments`; exit with `EXIT_RESUME` where a process did, else with the first bad status.

    Raises InputError, once and not in every process, where the job has GPUs and they cannot be used.
    """
    if not asked_for_cpu():
        trains_on_cuda()
    place = [] if "--standalone" in arguments else place_in_job(os.environ)
    options = parse_args(["--signals-to-handle", HANDLED_BY_TORCHRUN, *place, *arguments])
    for number in SIGNALS:
        signal.signal(number, _hand_on)
    try:
        run(options)
    except ChildFailedError as error:
        statuses = [failure.exitcode for failure in error.failures.values()]
        _, first = error.get_first_failure()
        sys.exit(EXIT_RESUME if EXIT_RESUME in statuses else max(first.exitcode, 1))


def place_in_job(environment: Mapping[str, str]) -> list[str]:
    """torchrun's options for the place of this launcher among those that one srun has started.

    The port comes from the job's id, so that jobs on the same node do not meet.
    """
    port = FIRST_PORT + int(environment["SLURM_JOB_ID"]) % PORTS
    rank, address = environment["SLURM_PROCID"], environment["SLURM_LAUNCH_NODE_IPADDR"]
    return ["--node_rank", rank, "--master_addr", address, "--master_port", str(port)]


def _hand_on(number: int, frame: FrameType | None) -> None:
    processes = psutil.Process().children()
    for process in processes:
        process.send_signal(number)
    if not processes:
        raise Preempted
