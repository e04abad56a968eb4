"""Two real servers asked by our client: `vllm serve` on the CPU, which the job starts itself, with a model that SFT has
made, and `transformers serve` with a tiny model of random weights. What they say is nonsense: it has the form that vLLM
holds it to, or ends as Unanswered."""

import asyncio
import os
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from support.asking import jpeg, world
from support.entry_points import ROOT
from support.tiny_checkpoint import tiny_checkpoint

from nep.ask.asker import Asker, for_each
from nep.ask.request import Answer, Frame, Request, Unanswered
from nep.ask.serve import free_port
from nep.ask.spending import Usage
from nep.config.asked_endpoint import AskedEndpoint
from nep.rows.quarantine import Reason

__all__ = ["tiny_checkpoint"]

PROGRAMS = ROOT / ".venv-vllm/bin"
NONSENSE = {Reason.ANSWER_INVALID, Reason.ANSWER_TRUNCATED}


class Choice(Answer):
    """An answer that a constrained model can only give in full."""

    colour: Literal["red", "green", "blue"]
    lit: bool


def question(number: int, frames: int = 2, **changes: Any) -> Request[Choice]:
    """A question about frames of a world; each number has its own."""
    scene = world(number)
    shown = [jpeg(scene, scene.event_time(step), 56) for step in range(frames)]
    content: tuple[str | Frame, ...] = (f"Which lamp is lit in video {number}?", *shown)
    return Request(**{"step": "choice", "system": "Watch.", "content": content, "answer": Choice, **changes})


def ask_all(
    asked: AskedEndpoint, cache: Path, requests: list[Request]
) -> tuple[list[Answer | Unanswered], dict[str, Usage]]:
    """Answers, or why there is none; and what was used."""

    async def work() -> tuple[list[Answer | Unanswered], dict[str, Usage]]:
        async with Asker(asked, cache) as asker:

            async def one(request: Request) -> Answer | Unanswered:
                try:
                    return await asker.ask(request)
                except Unanswered as reason:
                    return reason

            return await for_each(requests, one, at_once=4), asker.usage

    return asyncio.run(work())


def reasons(answers: list[Answer | Unanswered]) -> set[Reason]:
    """Why the answers cannot be used; all of them cannot."""
    return {answer.reason for answer in answers}


@pytest.fixture(scope="module", autouse=True)
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What vLLM needs on a CPU. Its command asks for the package `vllm`, whose name the one for CPUs does not have."""
    named = tmp_path_factory.mktemp("named") / "vllm-0.32.0+cpu.dist-info"
    named.mkdir()
    (named / "METADATA").write_text("Metadata-Version: 2.1\nName: vllm\nVersion: 0.32.0+cpu\n", encoding="utf-8")
    values = {
        "PATH": f"{PROGRAMS}:{os.environ['PATH']}",
        "PYTHONPATH": str(named.parent),
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "HF_HUB_OFFLINE": "1",
        "TEST_KEY": "any",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in values.items():
            patch.setenv(name, value)
        patch.delenv("NEP_STORE", raising=False)
        yield


def test_vllm_serves_a_trained_model_holds_answers_to_their_schema_and_counts_tokens(tmp_path: Path, run: Path) -> None:
    options = {
        "dtype": "float32",
        "max-model-len": 1024,
        "enforce-eager": True,
        "max-num-seqs": 4,
        # At its own wish this model would write spaces between two signs for ever.
        "structured-outputs-config": '{"backend": "xgrammar", "disable_any_whitespace": true}',
        "limit-mm-per-prompt": '{"image": 4, "video": 0}',
    }
    serve = {"weights": str(run / "nep/sft/model"), "options": options}
    asked = AskedEndpoint(model="tiny", serve=serve, timeout_s=600, down_after_s=1200)
    held = [question(number, max_tokens=100) for number in range(4)]
    blind = [question(number, frames=0, max_tokens=100, step="blind") for number in range(4)]
    loose = [question(number, max_tokens=20, step="loose") for number in range(2)]
    endless = question(0, frames=0, max_tokens=20, step="endless", system="word " * 2000)
    requests = [*held, *blind, *loose, endless]
    answers, usage = ask_all(asked, tmp_path, requests)
    assert [str(answer) for answer in answers[:8] if not isinstance(answer, Choice)] == []
    assert reasons(answers[8:10]) == {Reason.ANSWER_TRUNCATED}
    assert answers[10].reason is Reason.ANSWER_FAILED
    assert "1024" in answers[10].detail
    assert usage["choice"].requests == usage["blind"].requests == 4
    # 56 x 56 pixels are 4 tokens of the tiny model, and each image has a mark before and behind it.
    assert usage["choice"].prompt_tokens == usage["blind"].prompt_tokens + 4 * 2 * (4 + 2)
    assert usage["choice"].completion_tokens > 4

    # The same weights without being held to a schema; kept answers need no new ones.
    nonsense, used = ask_all(asked.model_copy(update={"structured": "validate", "max_reasks": 1}), tmp_path, held)
    assert reasons(nonsense) <= NONSENSE
    assert used["choice"].requests >= 4 + 4


@pytest.fixture(scope="module")
def transformers_server(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of `transformers serve`."""
    port = free_port()
    log = tmp_path_factory.mktemp("transformers") / "server.log"
    words = ["serve", tiny_checkpoint, "--host", "127.0.0.1", "--port", port, "--device", "cpu"]
    with (
        log.open("wb") as output,
        subprocess.Popen([PROGRAMS / "transformers", *map(str, words)], stdout=output, stderr=output) as server,
    ):
        while not is_healthy(f"http://127.0.0.1:{port}/health"):
            assert server.poll() is None, log.read_text(encoding="utf-8")[-4000:]
        yield f"http://127.0.0.1:{port}/v1"
        server.terminate()


def is_healthy(address: str) -> bool:
    """Whether a server answers."""
    try:
        with urllib.request.urlopen(address, timeout=5) as response:
            return response.status == 200
    except urllib.error.URLError:
        return False


def test_transformers_takes_images_counts_tokens_and_its_nonsense_is_quarantined(
    tmp_path: Path, tiny_checkpoint: Path, transformers_server: str
) -> None:
    asked = AskedEndpoint(
        url=transformers_server,
        model=str(tiny_checkpoint),
        key_from="TEST_KEY",
        structured="validate",
        max_reasks=1,
        concurrent=1,
        timeout_s=600,
    )
    requests = [question(number, frames=frames, max_tokens=12, step=f"{frames}") for number, frames in ((0, 0), (0, 2))]
    answers, usage = ask_all(asked, tmp_path, requests)
    assert reasons(answers) <= NONSENSE
    assert 0 < usage["0"].completion_tokens <= 2 * 12
    assert usage["2"].prompt_tokens >= usage["0"].prompt_tokens / 2 + 2 * (4 + 2)
    # It ignores schemas: its answers are checked all the same.
    unheld, _ = ask_all(asked.model_copy(update={"structured": "json_schema"}), tmp_path, requests)
    assert reasons(unheld) <= NONSENSE
