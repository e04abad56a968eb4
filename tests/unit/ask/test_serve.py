"""The server that a job starts: a program in vLLM's place, found on the PATH as `vllm` would be."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from support.asking import IMPATIENT, question, world
from support.entry_points import ROOT
from support.imports import SCRIPTS

from nep.ask.asker import Asker
from nep.ask.request import EndpointDownError
from nep.ask.serve import command
from nep.config.asked_endpoint import AskedEndpoint, Serve
from nep.errors import InputError

ENDPOINT = AskedEndpoint(model="scripted", serve={"weights": "org/name", "options": {"max-model-len": 2048}})
# Asks one question and then waits for its end.
JOB = """
import asyncio, sys, time
from pathlib import Path
from support.asking import question
from nep.ask.asker import Asker
from nep.config.asked_endpoint import AskedEndpoint

async def work():
    async with Asker(AskedEndpoint.model_validate_json(sys.argv[1]), Path(sys.argv[2])) as asker:
        await asker.ask(question(1))
        print(flush=True)
        await asyncio.sleep(600)

asyncio.run(work())
"""


@pytest.fixture
def note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the program notes; it is on the PATH as `vllm`."""
    install(tmp_path, monkeypatch, f'exec "{sys.executable}" "{ROOT}/tests/support/served_annotator.py" "$@"')
    monkeypatch.setenv("ANNOTATOR_NOTE", str(tmp_path / "note.json"))
    monkeypatch.setenv("PYTHONPATH", f"{SCRIPTS}:{ROOT / 'tests'}")
    monkeypatch.delenv("NEP_STORE", raising=False)
    return tmp_path / "note.json"


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    """A shell script named `vllm`, first on the PATH."""
    program = folder / "bin/vllm"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{line}\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")


def has_ended(note: Path) -> bool:
    """Whether neither the server nor its child lives; what has just been killed gets a moment."""
    processes = [
        psutil.Process(number)
        for number in json.loads(note.read_text(encoding="utf-8"))["processes"]
        if psutil.pid_exists(number)
    ]
    end = time.monotonic() + 5
    while any(map(lives, processes)) and time.monotonic() < end:
        time.sleep(0.02)
    return not any(map(lives, processes))


def lives(process: psutil.Process) -> bool:
    """Whether a process runs: what nobody has waited for does not."""
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def test_a_job_starts_the_server_asks_it_and_stops_all_of_it(
    tmp_path: Path, note: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A cluster's proxy does not stand before the job's own machine.
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setattr("nep.ask.serve.STOP_WITHIN_S", 2.0)

    async def work() -> None:
        async with Asker(ENDPOINT, tmp_path / "cache", share=64, part=3) as asker:
            assert (await asker.ask(question(1))).colours == world(1).events[:4]
            assert all(map(psutil.pid_exists, json.loads(note.read_text(encoding="utf-8"))["processes"]))

    asyncio.run(work())
    assert has_ended(note)
    arguments = json.loads(note.read_text(encoding="utf-8"))["arguments"]
    assert arguments[:4] == ["serve", "org/name", "--host", "127.0.0.1"]
    assert arguments[6:] == ["--served-model-name", "scripted", "--max-model-len", "2048"]


def test_the_server_ends_with_a_job_that_fails(tmp_path: Path, note: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nep.ask.serve.STOP_WITHIN_S", 2.0)

    async def work() -> None:
        async with Asker(ENDPOINT, tmp_path / "cache"):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        asyncio.run(work())
    assert has_ended(note)


def test_a_server_that_dies_ends_the_run_at_once(tmp_path: Path, note: Path) -> None:
    async def work() -> None:
        async with Asker(ENDPOINT, tmp_path / "cache", patience=IMPATIENT) as asker:
            await asker.ask(question(1))
            server, _ = json.loads(note.read_text(encoding="utf-8"))["processes"]
            os.kill(server, signal.SIGKILL)
            await asker.ask(question(2))

    with pytest.raises(EndpointDownError, match="its server ended with status -9"):
        asyncio.run(work())
    assert has_ended(note)


def test_the_server_ends_with_a_job_that_is_killed(tmp_path: Path, note: Path) -> None:
    arguments = [sys.executable, "-c", JOB, ENDPOINT.model_dump_json(), str(tmp_path / "cache")]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE) as job:
        assert job.stdout.readline() == b"\n"
        server, child = json.loads(note.read_text(encoding="utf-8"))["processes"]
        job.kill()
    psutil.Process(server).wait(20)
    # The program in vLLM's place leaves its own child to this test.
    os.kill(child, signal.SIGKILL)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("echo no such model; exit 3", r"(?s)ended with status 3 before it was ready.*cache/serve.*no such model"),
        ("echo loading; exec sleep 60", r"(?s)not ready after 1 s \('ready_within_s'\).*loading"),
    ],
)
def test_a_server_that_does_not_come_up_is_told_with_the_end_of_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, message: str
) -> None:
    install(tmp_path, monkeypatch, line)
    endpoint = AskedEndpoint(model="scripted", serve={"weights": "org/name", "ready_within_s": 1})

    async def work() -> None:
        async with Asker(endpoint, tmp_path / "cache"):
            raise AssertionError("it is not ready")

    with pytest.raises(InputError, match=message):
        asyncio.run(work())


def test_without_the_program_the_message_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    async def work() -> None:
        async with Asker(ENDPOINT, tmp_path / "cache"):
            raise AssertionError("there is none")

    with pytest.raises(InputError, match="needs the program 'vllm' on the PATH"):
        asyncio.run(work())


def test_options_become_words_of_the_command_line() -> None:
    serve = Serve(weights="w", options={"tensor-parallel-size": 4, "enforce-eager": True, "x": False, "dtype": "auto"})
    assert command("m", serve, 1234) == [
        *("vllm", "serve", "w", "--host", "127.0.0.1", "--port", "1234", "--served-model-name", "m"),
        *("--dtype", "auto", "--enforce-eager", "--tensor-parallel-size", "4"),
    ]
