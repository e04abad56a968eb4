"""What each kind of response means: for this request, for later ones, or for the run."""

import asyncio
import time
from email.utils import formatdate
from typing import Any

import pytest
from support.annotator import Annotator
from support.asking import endpoint, question

from nep.ask.body import body_of
from nep.ask.connection import Connection, FailedError, NotTakenError, Place, Reply, wait_of
from nep.ask.request import EndpointDownError

USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


def sent(status: int, content: Any, headers: dict[str, str] | None = None) -> Reply:
    """What a client makes of a response."""
    with Annotator() as annotator:
        annotator.reply = lambda body, key: (status, headers or {}, content)
        asked = endpoint(annotator)

        async def work() -> Reply:
            connection = Connection(asked, Place(annotator.url, "key"))
            try:
                return await connection.send(body_of(asked, question(1)))
            finally:
                await connection.close()

        return asyncio.run(work())


def completion(**message: Any) -> dict[str, Any]:
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", **message}}
    return {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice], "usage": USAGE}


def error(code: str | None = None) -> dict[str, Any]:
    return {"error": {"message": "told", "code": code}}


def test_a_reply_has_its_text_and_tokens() -> None:
    assert sent(200, completion(content="a")) == Reply("a", "stop", "", 3, 2)
    assert sent(200, completion(content=None, refusal="no")) == Reply("", "stop", "no", 3, 2)
    assert sent(200, {**completion(content="a"), "usage": None}) == Reply("a", "stop", "", 0, 0)


@pytest.mark.parametrize("content", [{}, {"choices": []}, {"choices": [{}]}, {"choices": None}, "text", [], None])
def test_something_else_than_a_completion_may_be_one_at_the_next_try(content: Any) -> None:
    with pytest.raises(FailedError, match="no completion"):
        sent(200, content)


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, None, NotTakenError),
        (400, "content_filter", NotTakenError),
        (401, None, EndpointDownError),
        (402, None, EndpointDownError),
        (403, None, EndpointDownError),
        (404, "model_not_found", EndpointDownError),
        (408, None, FailedError),
        (409, None, FailedError),
        (413, None, NotTakenError),
        (422, None, NotTakenError),
        (429, None, FailedError),
        (429, "insufficient_quota", EndpointDownError),
        (500, None, FailedError),
        (502, None, FailedError),
        (503, None, FailedError),
        (529, None, FailedError),
    ],
)
def test_a_status_is_the_requests_or_the_endpoints_fault(status: int, code: str | None, kind: type[Exception]) -> None:
    with pytest.raises(kind) as caught:
        sent(status, error(code))
    if kind is FailedError:
        assert caught.value.throttled == (status == 429)
        assert caught.value.overload == (status in (408, 429, 503, 529))


def test_retry_after_is_read_from_an_error() -> None:
    with pytest.raises(FailedError) as caught:
        sent(429, error(), {"Retry-After": "7"})
    assert caught.value.wait_s == 7


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "20"}, 20),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": formatdate(0, usegmt=True)}, 0),
    ],
)
def test_retry_after_is_a_number_or_a_date(headers: dict[str, str], seconds: float | None) -> None:
    assert wait_of(headers) == seconds


def test_a_date_in_the_future_is_so_many_seconds_away() -> None:
    assert 28 <= wait_of({"retry-after": formatdate(time.time() + 30, usegmt=True)}) <= 30
