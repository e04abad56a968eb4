"""The life of an engine beside its trainer, with a small program in the engine's place: the process alone is meant."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from support.entry_points import ROOT

from nep.errors import InputError
from nep.rollouts.environment import Environment
from nep.train.rl import engine_client
from nep.train.rl.decoding import decoding_for, uniforms
from nep.train.rl.engine_client import EngineSettings, VllmRollout

PROGRAM = ROOT / "tests/support/small_engine.py"
LIMIT = 6


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where the small engine, which clients start in this module, notes what it is told."""
    folder = tmp_path_factory.mktemp("engine")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine_client, "engine_command", lambda environment: [sys.executable, str(PROGRAM), str(folder)])
        patch.setenv("PYTHONPATH", str(ROOT / "scripts"))
        yield folder


@pytest.fixture(scope="module")
def client(parts, folder: Path) -> Iterator[VllmRollout]:
    """One client for all tests: each leaves it with an engine that works."""
    settings = EngineSettings(
        model=parts.run / "models/base",
        dtype="float32",
        max_tokens=64,
        sequences=4,
        cache_bytes=1 << 20,
        device=None,
        shared=False,
        threads=1,
        within_s=120.0,
    )
    decoding = decoding_for(parts.model, parts.processor, 1.0, LIMIT)
    client = VllmRollout(
        Environment(Path(sys.executable), {}), settings, decoding, parts.visuals, folder / "engine.log"
    )
    yield client
    client.close()


@pytest.fixture
def behaves(folder: Path) -> Iterator[Callable[[str], None]]:
    """Lets the small engine behave in a way of its, until the test ends."""
    ways: list[Path] = []

    def call(way: str) -> None:
        ways.append(folder / way)
        ways[-1].touch()

    (folder / "said.txt").write_text("")
    yield call
    for way in ways:
        way.unlink(missing_ok=True)


def ask(client: VllmRollout, parts, count: int = 2):
    """What the client's engine says to two prompts, `count` times each; once, greedily, for 0."""
    prompts = parts.prompts[:2]
    draws = torch.stack([uniforms(0, 0, place, prompt, count, LIMIT) for place, prompt in enumerate(prompts)])
    return client(parts.model, prompts, parts.visuals, draws if count else None)


def said(folder: Path) -> list[str]:
    """What the engine was told, without the numbers of its processes."""
    lines = (folder / "said.txt").read_text().splitlines()
    return ["start" if line.startswith("start ") else line for line in lines]


def is_alive(pid: int) -> bool:
    """Whether a process is there and has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def wait_until(moment: Callable[[], bool], within_s: float = 60.0) -> bool:
    """Whether the moment comes in time."""
    end = time.monotonic() + within_s
    while not moment() and time.monotonic() < end:
        time.sleep(0.01)
    return moment()


def test_weights_go_once_for_each_version_and_before_the_request(parts, client, folder: Path) -> None:
    groups = ask(client, parts)
    assert [[completion.log_probs.tolist() for completion in group] for group in groups] == [[[-1], [-2]], [[-3], [-4]]]
    assert all(completion.finished for group in groups for completion in group)
    ask(client, parts, count=0)
    client.renew(5)
    client.renew(6)
    ask(client, parts)
    # A trainer that does not share its GPU keeps the engine awake.
    client.rest()
    assert said(folder) == ["start", "weights 0", "complete", "complete", "weights 6", "complete"]
    # A signal of the terminal is not the engine's.
    assert os.getpgid(client.pid) == client.pid != os.getpgid(os.getpid())


def test_an_engine_that_dies_is_started_again_with_the_same_weights(parts, client, behaves, folder, capsys) -> None:
    client.renew(13)
    expected = ask(client, parts)
    first = client.pid
    behaves("ends")
    found = ask(client, parts)
    assert client.pid != first and not is_alive(first)
    assert [len(group) for group in found] == [len(group) for group in expected]
    assert said(folder) == ["weights 13", "complete", "complete", "start", "weights 13", "complete"]
    warned = capsys.readouterr().err
    assert "warning: the rollout engine ended with status 3" in warned
    assert "the small engine gives up" in warned and "is started again" in warned
    # Between two requests, by a signal.
    os.kill(client.pid, signal.SIGKILL)
    ask(client, parts)
    assert said(folder)[-3:] == ["start", "weights 13", "complete"]
    assert "ended with status -9" in capsys.readouterr().err


def test_what_an_engine_objects_to_ends_the_run_with_its_words(parts, client, behaves, folder: Path) -> None:
    ask(client, parts)
    behaves("fails")
    with pytest.raises(InputError, match=rf"the rollout engine: ValueError: too long \({folder}/engine\.log"):
        ask(client, parts)


def test_completions_by_other_weights_are_refused(parts, client, behaves) -> None:
    client.renew(24)
    behaves("stale")
    with pytest.raises(InputError, match=r"stale weights: .* version 25 of the weights, .* has version 24"):
        ask(client, parts)


def test_an_engine_that_says_nothing_is_killed_in_the_end(parts, client, behaves, monkeypatch) -> None:
    client.renew(35)
    ask(client, parts)
    behaves("hangs")
    monkeypatch.setattr(client._process, "_within_s", 0.1)
    with pytest.raises(InputError, match=r"did not answer within 0\.1 s \(grpo\.rollout_timeout_s\)"):
        ask(client, parts)
    assert not is_alive(client.pid)


def test_an_engine_that_dies_twice_over_one_request_ends_the_run(parts, client, monkeypatch) -> None:
    """It has been killed by the test before."""
    monkeypatch.setattr(engine_client, "engine_command", lambda environment: [sys.executable, "-c", "print('no room')"])
    with pytest.raises(InputError, match=r"(?s)twice for one request, the rollout engine ended with status.*no room"):
        ask(client, parts)


TRAINER = """
import sys, time
from pathlib import Path
from nep.train.rl.engine_process import EngineProcess
waits = "import socket, sys; socket.socket(fileno=int(sys.argv[1])).recv(1)"
works = "import time; time.sleep(600)"
processes = [EngineProcess([sys.executable, "-c", code], {}, Path(sys.argv[1]), 60.0, ()) for code in (waits, works)]
print(*(process.pid for process in processes), flush=True)
time.sleep(600)
"""


def test_no_engine_outlives_a_trainer_that_is_killed(folder: Path) -> None:
    """Neither while it waits for the trainer, nor while it works and would not notice a closed socket."""
    command = [sys.executable, "-c", TRAINER, str(folder / "engine.log")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as trainer:
        engines = list(map(int, trainer.stdout.readline().split()))
        assert len(engines) == 2 and all(map(is_alive, engines))
        trainer.kill()
    assert wait_until(lambda: not any(map(is_alive, engines)))
