"""Snakemake's command line in processes that are forked from one that has imported it, which is half of a dry run.

Nothing of `nep` is imported before the fork: each process has the modules of its working directory, and it ends as one
that was started by itself would.
"""

import importlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import NoReturn

LOOK_FOR_STARTER_S = 1.0
PRELOAD = ("snakemake.cli", "snakemake.report.html_reporter", "smart_open", "pydantic", "numpy", "yaml")


class SnakemakeServer:
    """The process that others are forked from; it ends with the one that has started it."""

    def __init__(self) -> None:
        self._address = str(Path(mkdtemp(prefix="snakemake-")) / "socket")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(self._address)
            listener.listen()
            number = listener.fileno()
            subprocess.Popen([sys.executable, __file__, str(number)], pass_fds=[number])

    def run(
        self, arguments: Sequence[str], folder: Path, output: Path, environment: Mapping[str, str], timeout_s: float
    ) -> int:
        """Exit status of `snakemake <arguments>` in `folder`, whose messages go to `output`.

        Raises TimeoutError, after killing it, where it does not end in time.
        """
        order = {
            "arguments": [*arguments],
            "folder": str(folder),
            "output": str(output),
            "environment": {**environment},
        }
        with socket.socket(socket.AF_UNIX) as connection, connection.makefile("rw", encoding="utf-8") as stream:
            connection.connect(self._address)
            print(json.dumps(order), file=stream, flush=True)
            process = int(stream.readline())
            connection.settimeout(timeout_s)
            try:
                return int(stream.readline())
            except TimeoutError:
                os.kill(process, signal.SIGKILL)
                raise


@cache
def snakemake_server() -> SnakemakeServer:
    """The one of this process."""
    return SnakemakeServer()


def serve(listener: socket.socket) -> Callable[[], None]:
    """Fork for each order until the process that has started this one is gone. Returns, in each forked process, what it
    is there for."""
    starter = os.getppid()
    listener.settimeout(LOOK_FOR_STARTER_S)
    while os.getppid() == starter:
        try:
            connection, _ = listener.accept()
        except TimeoutError:
            continue
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG) != (0, 0):
                pass
        if os.fork() == 0:
            return lambda: attend(connection)
        connection.close()
    return lambda: None


def attend(connection: socket.socket) -> None:
    """Fork Snakemake, and tell its process number and its exit status."""
    stream = connection.makefile("rw", encoding="utf-8")
    order = json.loads(stream.readline())
    number = os.fork()
    if number == 0:
        become_snakemake(**order)
    print(number, file=stream, flush=True)
    _, status = os.waitpid(number, 0)
    print(os.waitstatus_to_exitcode(status), file=stream, flush=True)


def become_snakemake(arguments: list[str], folder: str, output: str, environment: dict[str, str]) -> NoReturn:
    """What `python -m snakemake` does, in this process."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for standard in (1, 2):
        os.dup2(descriptor, standard)
    sys.argv[:] = ["snakemake", *arguments]
    sys.path[0] = folder
    from snakemake.cli import main

    sys.exit(main())


if __name__ == "__main__":
    for module in PRELOAD:
        importlib.import_module(module)
    serve(socket.socket(fileno=int(sys.argv[1])))()
