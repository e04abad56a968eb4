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


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the small engine notes what it is told; it is what clients start."""
    monkeypatch.setattr(
        engine_client, "engine_command", lambda environment: [sys.executable, str(PROGRAM), str(tmp_path)]
    )
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "scripts"))
    return tmp_path


@pytest.fixture
def start(parts, folder: Path) -> Iterator[Callable[..., VllmRollout]]:
    """Starts a client whose engine answers within the given time; all are closed in the end."""
    started: list[VllmRollout] = []

    def make(within_s: float = 120.0) -> VllmRollout:
        settings = EngineSettings(
            model=parts.run / "models/base",
            dtype="float32",
            max_tokens=64,
            sequences=4,
            cache_bytes=1 << 20,
            device=None,
            shared=False,
            threads=1,
            within_s=within_s,
        )
        decoding = decoding_for(parts.model, parts.processor, 1.0, LIMIT)
        environment = Environment(Path(sys.executable), {})
        started.append(VllmRollout(environment, settings, decoding, parts.visuals, folder / "engine.log"))
        return started[-1]

    yield make
    for client in started:
        client.close()


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


def test_weights_go_once_for_each_version_and_before_the_request(parts, start, folder: Path) -> None:
    client = start()
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


def test_an_engine_that_dies_is_started_again_with_the_same_weights(parts, start, folder: Path, capsys) -> None:
    client = start()
    client.renew(3)
    expected = ask(client, parts)
    first = client.pid
    (folder / "ends").touch()
    found = ask(client, parts)
    assert client.pid != first and not is_alive(first)
    assert [len(group) for group in found] == [len(group) for group in expected]
    assert said(folder) == ["start", "weights 3", "complete", "complete", "start", "weights 3", "complete"]
    warned = capsys.readouterr().err
    assert "warning: the rollout engine ended with status 3" in warned
    assert "the small engine gives up" in warned and "is started again" in warned
    # Between two requests, by a signal.
    os.kill(client.pid, signal.SIGKILL)
    ask(client, parts)
    assert said(folder)[-3:] == ["start", "weights 3", "complete"]
    assert "ended with status -9" in capsys.readouterr().err


def test_an_engine_that_dies_twice_over_one_request_ends_the_run(parts, start, folder: Path, monkeypatch) -> None:
    client = start()
    monkeypatch.setattr(engine_client, "engine_command", lambda environment: [sys.executable, "-c", "print('no room')"])
    (folder / "ends").touch()
    with pytest.raises(InputError, match=r"(?s)twice for one request, the rollout engine ended with status.*no room"):
        ask(client, parts)


def test_an_engine_that_says_nothing_is_killed_in_the_end(parts, start, folder: Path) -> None:
    client = start(within_s=20.0)
    ask(client, parts)
    (folder / "hangs").touch()
    client._process._within_s = 0.1
    with pytest.raises(InputError, match=r"did not answer within 0\.1 s \(grpo\.rollout_timeout_s\)"):
        ask(client, parts)
    assert not is_alive(client.pid)


def test_what_an_engine_objects_to_ends_the_run_with_its_words(parts, start, folder: Path) -> None:
    client = start()
    (folder / "fails").touch()
    with pytest.raises(InputError, match=rf"the rollout engine: ValueError: too long \({folder}/engine\.log"):
        ask(client, parts)


def test_completions_by_other_weights_are_refused(parts, start, folder: Path) -> None:
    client = start()
    client.renew(4)
    (folder / "stale").touch()
    with pytest.raises(InputError, match=r"stale weights: .* version 5 of the weights, .* has version 4"):
        ask(client, parts)


TRAINER = """
import socket, sys, time
from pathlib import Path
from nep.train.rl.engine_process import EngineProcess
process = EngineProcess({command!r}, {{}}, Path({log!r}), 60.0, ())
print(process.pid, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("idle", [True, False])
def test_no_engine_outlives_a_trainer_that_is_killed(folder: Path, idle: bool) -> None:
    """While it waits for the trainer, and while it works on something else and would not notice a closed socket."""
    waits = "import sys, socket; socket.socket(fileno=int(sys.argv[1])).recv(1)"
    works = "import time; time.sleep(600)"
    code = TRAINER.format(command=[sys.executable, "-c", waits if idle else works], log=str(folder / "engine.log"))
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as trainer:
        engine = int(trainer.stdout.readline())
        assert is_alive(engine)
        trainer.kill()
    assert wait_until(lambda: not is_alive(engine))


def test_a_signal_of_the_terminal_is_not_the_engines(parts, start) -> None:
    client = start()
    ask(client, parts)
    assert os.getpgid(client.pid) == client.pid != os.getpgid(os.getpid())
