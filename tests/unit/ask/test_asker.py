"""Typed answers of a real HTTP server, kept and paid for once."""

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from support.annotator import Annotator
from support.asking import IMPATIENT, KEY, SeenLamps, endpoint, question, world

from nep.ask.asker import Asker, for_each
from nep.ask.request import Request, Unanswered
from nep.ask.spending import Usage
from nep.config.asked_endpoint import AskedEndpoint


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_KEY", KEY)
    monkeypatch.delenv("NEP_STORE", raising=False)


def ask_all(
    asked: AskedEndpoint, cache: Path, requests: Iterable[Request], **how: Any
) -> tuple[list[SeenLamps | Unanswered], dict[str, Usage]]:
    """Answers, or why there is none, in the order of the requests; and what was used."""

    async def work() -> tuple[list[SeenLamps | Unanswered], dict[str, Usage]]:
        async with Asker(asked, cache, patience=IMPATIENT, **how) as asker:

            async def one(request: Request) -> SeenLamps | Unanswered:
                try:
                    return await asker.ask(request)
                except Unanswered as reason:
                    return reason

            return await for_each(requests, one, at_once=16), asker.usage

    return asyncio.run(work())


def truth(number: int) -> SeenLamps:
    return SeenLamps(colours=world(number).events[:4])


@pytest.mark.parametrize("structured", ["json_schema", "validate"])
def test_an_answer_comes_from_the_frames_and_is_paid_for_once(tmp_path: Path, structured: str) -> None:
    with Annotator(key=KEY) as annotator:
        asked = endpoint(annotator, structured=structured, price_in=1e6, price_out=1e6)
        requests = [question(number) for number in range(4)]
        answers, usage = ask_all(asked, tmp_path, requests)
        assert answers == [truth(number) for number in range(4)]
        assert usage["lamps"].requests == annotator.requests == 4
        assert usage["lamps"].money == usage["lamps"].prompt_tokens + usage["lamps"].completion_tokens > 0

        again, usage = ask_all(asked, tmp_path, [*requests, question(5)])
        assert again == [*answers, truth(5)]
        assert annotator.requests == 5
        assert usage["lamps"].cached == 4 and usage["lamps"].requests == 5, "earlier starts' money counts"
