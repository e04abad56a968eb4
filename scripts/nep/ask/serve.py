"""A `vllm serve` that the job starts, waits for and stops."""

import asyncio
import os
import secrets
import signal
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx2

from nep.ask.connection import Place
from nep.config.asked_endpoint import AskedEndpoint, Serve
from nep.errors import InputError
from nep.jobs.child import ends_with_parent, last_lines

PROGRAM = "vllm"
HOST = "127.0.0.1"
POLL_S = 0.5
STOP_WITHIN_S = 30.0


@asynccontextmanager
async def served(endpoint: AskedEndpoint, log: Path) -> AsyncIterator[Place]:
    """The endpoint's own server, from its health check to the end of the block; its output goes to `log`.

    It listens on this machine only and asks for a key that nobody else has: other users of the node cannot ask it. Its
    process group ends with the block, however that ends. Raises InputError where it does not come up.
    """
    port, key = free_port(), secrets.token_hex(16)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        try:
            process = await asyncio.create_subprocess_exec(
                *command(endpoint.model, endpoint.serve, port),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=asyncio.subprocess.STDOUT,
                env={**os.environ, "VLLM_API_KEY": key},
                start_new_session=True,
                preexec_fn=ends_with_parent(signal.SIGTERM),
            )
        except FileNotFoundError:
            raise InputError(
                f"{endpoint.model}: 'serve' needs the program '{PROGRAM}' on the PATH of the job; install vLLM in the "
                "environment of this rule, or name a 'url'"
            ) from None
        try:
            await _until_healthy(process, f"http://{HOST}:{port}/health", endpoint.serve.ready_within_s, log)
            yield Place(f"http://{HOST}:{port}/v1", key, process)
        finally:
            await _stop(process)


def command(model: str, serve: Serve, port: int) -> list[str]:
    """The server's command line."""
    options = []
    for name, value in sorted(serve.options.items()):
        if value is not False:
            options += [f"--{name}"] if value is True else [f"--{name}", str(value)]
    place = ["--host", HOST, "--port", str(port), "--served-model-name", model]
    return [PROGRAM, "serve", serve.weights, *place, *options]


async def _until_healthy(process: asyncio.subprocess.Process, address: str, within_s: float, log: Path) -> None:
    end = time.monotonic() + within_s
    # No proxy of the environment's stands before this machine.
    async with httpx2.AsyncClient(trust_env=False, timeout=5.0) as client:
        while process.returncode is None:
            with suppress(httpx2.TransportError):
                if (await client.get(address)).status_code == httpx2.codes.OK:
                    return
            if time.monotonic() > end:
                raise InputError(f"the server was not ready after {within_s} s ('ready_within_s')\n{last_lines(log)}")
            with suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), POLL_S)
    raise InputError(f"the server ended with status {process.returncode} before it was ready\n{last_lines(log)}")


async def _stop(process: asyncio.subprocess.Process) -> None:
    _signal(process, signal.SIGTERM)
    with suppress(TimeoutError):
        await asyncio.wait_for(process.wait(), STOP_WITHIN_S)
    # Whatever of its processes is left, whether it has ended itself or not.
    _signal(process, signal.SIGKILL)
    await process.wait()


def _signal(process: asyncio.subprocess.Process, how: signal.Signals) -> None:
    # The group is named by its first process, whose number nobody else gets while one of the group lives.
    with suppress(ProcessLookupError):
        os.killpg(process.pid, how)


def free_port() -> int:
    """A port of this machine that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]
