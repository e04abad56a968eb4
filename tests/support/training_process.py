"""Training runs in real processes that start in a second: forked from a server that has imported everything.

They end as the entry points do: status 0, 2 with a message, 75 when told to stop, or by the signal that killed them.
"""

import os
import resource
import socket
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

from support.entry_points import ROOT
from support.fork_server import start_fork_server

from nep.cli import run_entry_point
from nep.config.sft import Sft
from nep.config.training import Training
from nep.train.runtime.options import RunPaths

TIMEOUT_S = 300


def start(recipe: Training, paths: RunPaths, size: int = 1, largest_file: int | None = None) -> list[BaseProcess]:
    """Start a run of `size` processes; its messages go to `<run>/stderr.txt`."""
    context = start_fork_server()
    paths.run.mkdir(parents=True, exist_ok=True)
    port = free_port()
    processes = [
        context.Process(target=train, args=(recipe, paths, rank, size, port, largest_file)) for rank in range(size)
    ]
    for process in processes:
        process.start()
    return processes


def finish(processes: list[BaseProcess]) -> list[int | None]:
    """Wait for a run, and return how its processes ended."""
    for process in processes:
        process.join(TIMEOUT_S)
    return [process.exitcode for process in processes]


def run(recipe: Training, paths: RunPaths, size: int = 1, largest_file: int | None = None) -> list[int | None]:
    """Start a run and wait for it."""
    return finish(start(recipe, paths, size, largest_file))


def stop_when(processes: list[BaseProcess], number: int, moment: Callable[[], bool]) -> list[int | None]:
    """Send a signal to a run at a moment, and return how its processes ended."""
    deadline = time.monotonic() + TIMEOUT_S
    while not moment() and processes[0].is_alive() and time.monotonic() < deadline:
        time.sleep(0.001)
    for process in processes:
        if process.is_alive():
            os.kill(process.pid, number)
    return finish(processes)


def lines_in(folder: Path, name: str) -> int:
    """Lines of the log of this name in the work folder of a run; 0 where it is not there."""
    return sum(path.read_bytes().count(b"\n") for path in folder.glob(f"work/*/*/*/{name}"))


def train(recipe: Training, paths: RunPaths, rank: int, size: int, port: int, largest_file: int | None) -> None:
    """One process of a run."""
    descriptor = os.open(paths.run / "stderr.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.chdir(ROOT)
    if size > 1:
        os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(size))
        os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    if largest_file is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))

    def main() -> None:
        from nep.train.rl.grpo import train_grpo
        from nep.train.runtime import preemption
        from nep.train.sft import train_sft

        preemption.listen()
        entry = train_sft if isinstance(recipe, Sft) else train_grpo
        entry(recipe, 1, "nep", paths)

    run_entry_point(main)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
