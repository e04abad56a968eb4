"""The process of a rollout engine: started beside its trainer, asked under a time limit, gone with its trainer.

The trainer holds one end of a socket, the engine the other: whichever of them dies, the other one sees it closed. The
kernel kills the engine where its trainer dies while it works.
"""

import os
import signal
import socket
import subprocess
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from nep.errors import InputError
from nep.jobs.child import ends_with_parent, last_lines
from nep.rollouts.wire import ClosedError, Message, receive, send

Answer = TypeVar("Answer")

STOP_WITHIN_S = 30.0
# What torchrun and a scheduler tell a trainer of its own place among others; an engine is alone.
OF_THE_TRAINER = (
    *("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_RANK", "ROLE_RANK", "ROLE_WORLD_SIZE"),
    *("MASTER_ADDR", "MASTER_PORT", "TORCHELASTIC_RUN_ID", "TORCHELASTIC_USE_AGENT_STORE"),
)


class EngineEndedError(Exception):
    """The engine's process has ended before it answered; the message says how, with the end of its log."""


class EngineProcess:
    """One engine process. Attribute: `pid`."""

    def __init__(
        self, command: list[str], environment: Mapping[str, str], log: Path, within_s: float, shared: tuple[int, ...]
    ) -> None:
        """Start `command` with the number of its socket as last word; `shared` descriptors stay open in it. What it
        prints goes to `log`; an answer must come `within_s`."""
        self._log = log
        self._within_s = within_s
        self._connection, theirs = socket.socketpair()
        inherited = {name: value for name, value in os.environ.items() if name not in OF_THE_TRAINER}
        log.parent.mkdir(parents=True, exist_ok=True)
        with theirs, log.open("ab") as output:
            self._process = subprocess.Popen(
                [*command, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**inherited, **environment},
                pass_fds=(theirs.fileno(), *shared),
                # A signal of the terminal is for the trainer.
                start_new_session=True,
                preexec_fn=ends_with_parent(signal.SIGKILL),
            )
        self.pid = self._process.pid

    def send(self, message: Message) -> None:
        """Send a request. Raises EngineEndedError, and InputError where the engine does not take it in time."""
        self._guarded(lambda: send(self._connection, message, self._within_s))

    def receive(self) -> Message:
        """The answer to a request. Raises EngineEndedError; InputError where none comes in time, or it is an error."""
        answer = self._guarded(lambda: receive(self._connection, self._within_s))
        if "error" in answer.header:
            raise InputError(f"the rollout engine: {answer.header['error']} ({self._log} has the whole of it)")
        return answer

    def close(self) -> None:
        """End the process: by closing the socket, or by SIGKILL where it does not heed that."""
        self._connection.close()
        try:
            self._process.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._kill()

    def _guarded(self, call: Callable[[], Answer]) -> Answer:
        try:
            return call()
        except ClosedError:
            self._kill()
            raise EngineEndedError(
                f"the rollout engine ended with status {self._process.returncode}\n{last_lines(self._log)}"
            ) from None
        except TimeoutError:
            self._kill()
            raise InputError(
                f"the rollout engine did not answer within {self._within_s:g} s (grpo.rollout_timeout_s)\n"
                f"{last_lines(self._log)}"
            ) from None

    def _kill(self) -> None:
        """End whatever is left of it; its group is its own."""
        # Nothing may be left.
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
