"""The Batch API, of the scripted annotator."""

import asyncio
from collections.abc import Iterable
from pathlib import Path

import pytest
from support.annotator import Annotator, Noise
from support.asking import IMPATIENT, KEY, SeenLamps, endpoint, question, world

from nep.ask import batch
from nep.ask.asker import Asker, for_each
from nep.ask.request import EndpointDownError, Request
from nep.ask.spending import Usage
from nep.config.asked_endpoint import AskedEndpoint


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_KEY", KEY)
    monkeypatch.delenv("NEP_STORE", raising=False)
    monkeypatch.setattr(batch, "GATHER_S", 0.05)
    monkeypatch.setattr(batch, "POLL_S", 0.02)


async def ask(asked: AskedEndpoint, cache: Path, requests: Iterable[Request]) -> tuple[list[SeenLamps], Usage]:
    async with Asker(asked, cache, patience=IMPATIENT) as asker:
        return await for_each(requests, asker.ask, asker.at_once), asker.usage["lamps"]


def test_requests_are_gathered_failures_asked_again_and_answers_kept(tmp_path: Path) -> None:
    with Annotator(Noise(failures=0.3, seed=1), key=KEY) as annotator:
        asked = endpoint(annotator, batch=True, price_out=1e6)
        answers, usage = asyncio.run(ask(asked, tmp_path, map(question, range(12))))
        assert answers == [SeenLamps(colours=world(number).events[:4]) for number in range(12)]
        assert (annotator.statuses[200], usage.requests, usage.retries) == (12, 12, annotator.statuses[500])
        assert annotator.statuses[500] > 0 and len(annotator.batches) < 8
        assert usage.money == usage.completion_tokens
        _, usage = asyncio.run(ask(asked, tmp_path, map(question, range(12))))
        assert (usage.cached, annotator.statuses[200]) == (12, 12)


def test_a_later_start_takes_the_answers_of_a_batch_that_was_under_way(tmp_path: Path) -> None:
    with Annotator() as annotator:
        annotator.batch_polls = 1_000_000
        asked = endpoint(annotator, batch=True)

        async def killed() -> None:
            task = asyncio.create_task(ask(asked, tmp_path, map(question, range(4))))
            while not annotator.batches:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.2)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        asyncio.run(killed())
        annotator.batches["batch-0"][0] = 1
        annotator.batch_polls = 1
        answers, usage = asyncio.run(ask(asked, tmp_path, map(question, range(6))))
        assert answers == [SeenLamps(colours=world(number).events[:4]) for number in range(6)]
        assert (annotator.requests, usage.requests, len(annotator.batches)) == (6, 6, 2)


def test_a_lost_batch_is_asked_anew(tmp_path: Path) -> None:
    with Annotator() as annotator:
        asked = endpoint(annotator, batch=True)

        async def losing() -> tuple[list[SeenLamps], Usage]:
            task = asyncio.create_task(ask(asked, tmp_path, [question(1)]))
            while not annotator.batches:
                await asyncio.sleep(0)
            # Without files: it has expired before any answer.
            annotator.batches["batch-0"][2] = {True: None, False: None}
            return await task

        answers, _ = asyncio.run(losing())
        assert answers == [SeenLamps(colours=world(1).events[:4])]
        assert len(annotator.batches) == 2


def test_an_endpoint_without_batches_ends_the_run(tmp_path: Path) -> None:
    with Annotator() as annotator:
        asked = endpoint(annotator, batch=True).model_copy(update={"url": annotator.url.removesuffix("/v1") + "/v2"})
        with pytest.raises(EndpointDownError, match="refuses every request"):
            asyncio.run(ask(asked, tmp_path, [question(1)]))


def test_files_stay_below_the_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    def sizes(gathered: list[batch.Gathered]) -> list[int]:
        found = []
        while gathered:
            part = batch._first_part(gathered)
            found.append(len(part))
            gathered = gathered[len(part) :]
        return found

    lines = [batch.Gathered("", b"x" * size, None) for size in (40, 40, 40, 200, 10, 10, 10)]
    monkeypatch.setattr(batch, "MOST_BYTES", 100)
    assert sizes(lines) == [2, 1, 1, 3]
    monkeypatch.setattr(batch, "MOST_REQUESTS", 2)
    assert sizes(lines) == [2, 1, 1, 2, 1]
