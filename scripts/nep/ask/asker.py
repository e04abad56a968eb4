"""Asks an endpoint typed questions: kept answers first, then the endpoint, until an answer has its form."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Self, TypeVar
from weakref import WeakValueDictionary

from pydantic import ValidationError

from nep.ask.answers import Answers
from nep.ask.batch import BatchSender
from nep.ask.body import asked_again, body_of, key_of
from nep.ask.connection import FILTERED, Connection, Place, Reply
from nep.ask.form import fault_of, json_in, validated
from nep.ask.request import A, EndpointDownError, Request, Unanswered
from nep.ask.sender import Patience, Sender
from nep.ask.serve import served
from nep.ask.spending import Spending, Usage
from nep.config.asked_endpoint import AskedEndpoint
from nep.errors import InputError
from nep.files import sha256_of_json
from nep.jobs.store import admit, make_folder, store_folder
from nep.rows.quarantine import Reason

STAGE = "ask"
TRUNCATED = "length"
TELL_EVERY_S = 10.0
# A batch is sent when all of these wait for it.
BATCH_AT_ONCE = 500
# Batch APIs take names of up to 64 characters.
KEY_OF_REQUEST = 60

Item = TypeVar("Item")
Result = TypeVar("Result")


class Asker:
    """An endpoint as one process asks it: number `part` of `share` processes that share its limits and its cap.

    An async context manager. Answers are kept below `cache`, or in the store that `NEP_STORE` names; what was spent is
    noted below `cache`. Raises InputError where the environment lacks the key, or where more processes share the
    endpoint than may have a request under way.
    """

    def __init__(
        self,
        endpoint: AskedEndpoint,
        cache: Path,
        *,
        share: int = 1,
        part: int = 0,
        patience: Patience = Patience(),  # noqa: B008 - frozen
    ) -> None:
        if not 0 <= part < share:
            raise ValueError(f"part {part} of {share}")
        # A server of its own, a process asks alone.
        self._share = 1 if endpoint.serve else share
        if endpoint.concurrent < self._share:
            raise InputError(
                f"{endpoint.model}: {share} shards cannot share {endpoint.concurrent} requests at once; raise "
                "'concurrent' or lower the number of shards"
            )
        self._endpoint = endpoint
        self._patience = patience
        self._batches = cache / "batches"
        self._server_log = cache / "serve" / f"{sha256_of_json(endpoint.model)[:16]}.{part}.log"
        self._answers = _kept_answers(cache, endpoint.model)
        self._spending = Spending(endpoint, cache / "spent", share, part)
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._told = time.monotonic()
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as opened:
            opened.callback(self._answers.close)
            opened.callback(self._spending.close)
            connection = await opened.enter_async_context(_connected(self._endpoint, self._server_log))
            self._sender = self._sender_by(connection)
            opened.push_async_callback(self._sender.close)
            opened.callback(self._tell)
            self._open = opened.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    @property
    def usage(self) -> dict[str, Usage]:
        """What each step has used."""
        return dict(sorted(self._spending.usage.items()))

    @property
    def at_once(self) -> int:
        """Videos that are worth having under way at a time (`for_each`); more only take memory."""
        return BATCH_AT_ONCE if self._endpoint.batch else 2 * (self._endpoint.concurrent // self._share)

    async def ask(self, request: Request[A]) -> A:
        """The typed answer, kept or new. Raises Unanswered for this question, EndpointDownError for all."""
        key = key_of(self._endpoint, request)
        # The same question at the same time is paid for once.
        async with self._locks.setdefault(key, asyncio.Lock()):
            turns: list[dict[str, str]] = []
            for text in self._answers.find(key):
                try:
                    answer = validated(request, text)
                except ValidationError as error:
                    turns += asked_again(text, fault_of(error))
                    continue
                self._spending.usage[request.step].cached += 1
                return answer
            return await self._ask_endpoint(request, key, turns)

    async def _ask_endpoint(self, request: Request[A], key: str, turns: list[dict[str, str]]) -> A:
        fault = ""
        for again in range(self._endpoint.max_reasks + 1):
            self._spending.usage[request.step].reasks += again > 0
            reply = await self._sender.reply(
                request, body_of(self._endpoint, request, turns), f"{key[:KEY_OF_REQUEST]}-{again}"
            )
            self._tell_now_and_then()
            _check_end(request, reply)
            try:
                answer = validated(request, reply.text)
            except ValidationError as error:
                fault = fault_of(error)
                turns = [*turns, *asked_again(reply.text, fault)]
                continue
            self._answers.keep(key, json_in(reply.text))
            return answer
        raise Unanswered(Reason.ANSWER_INVALID, f"{request.step}: asked {again + 1} times; the last answer: {fault}")

    def _sender_by(self, connection: Connection) -> Sender | BatchSender:
        if self._endpoint.batch:
            return BatchSender(self._endpoint, connection, self._spending, self._batches, self._patience)
        return Sender(self._endpoint, connection, self._spending, self._share, self._patience)

    def _tell_now_and_then(self) -> None:
        if time.monotonic() - self._told >= TELL_EVERY_S:
            self._tell()

    def _tell(self) -> None:
        self._told = time.monotonic()
        total = sum(self.usage.values(), Usage())
        cap = "" if self._spending.cap is None else f" of {self._spending.cap:.2f}"
        print(
            f"{self._endpoint.model}: {total.requests} answers, {total.cached} kept ones, {total.retries} retries, "
            f"{total.reasks} asked again, {self._sender.state}; {total.prompt_tokens:,} + "
            f"{total.completion_tokens:,} tokens, cost {self._spending.money:.2f}{cap}",
            file=sys.stderr,
        )


async def for_each(items: Iterable[Item], work: Callable[[Item], Awaitable[Result]], at_once: int) -> list[Result]:
    """The results of `work`, in the order of `items`; `at_once` items are taken at a time, so that memory stays flat.

    Raises EndpointDownError when all that is under way has ended, so that no answer that was paid for is lost; another
    error at once.
    """
    numbered = enumerate(items)
    results: dict[int, Result] = {}
    down: list[EndpointDownError] = []

    async def take() -> None:
        for number, item in numbered:
            try:
                results[number] = await work(item)
            except EndpointDownError as error:
                down.append(error)
            if down:
                return

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(take())
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    if down:
        raise down[0]
    return [results[number] for number in sorted(results)]


@asynccontextmanager
async def vision_and_text(
    vision: AskedEndpoint, text: AskedEndpoint, cache: Path, share: int, part: int
) -> AsyncIterator[tuple[Asker, Asker, int]]:
    """An asker of each endpoint, one for both where they are the same, and how many items to take at a time."""
    async with AsyncExitStack() as opened:
        endpoints = [vision] if text == vision else [vision, text]
        askers = [
            await opened.enter_async_context(Asker(endpoint, cache, share=share, part=part)) for endpoint in endpoints
        ]
        yield askers[0], askers[-1], sum(asker.at_once for asker in askers)


@asynccontextmanager
async def _connected(endpoint: AskedEndpoint, server_log: Path) -> AsyncIterator[Connection]:
    async with AsyncExitStack() as opened:
        if endpoint.serve is None:
            place = Place(endpoint.url, endpoint.key())
        else:
            place = await opened.enter_async_context(served(endpoint, server_log))
        connection = Connection(endpoint, place)
        opened.push_async_callback(connection.close)
        yield connection


def _kept_answers(cache: Path, model: str) -> Answers:
    shelf, store = Path(STAGE) / sha256_of_json(model)[:16], store_folder()
    if store is None:
        return Answers(cache / shelf)
    for folder in (store / STAGE, store / shelf):
        make_folder(folder, store)
    return Answers(store / shelf, partial(admit, store=store))


def _check_end(request: Request, reply: Reply) -> None:
    if reply.finish == TRUNCATED:
        raise Unanswered(Reason.ANSWER_TRUNCATED, f"{request.step}: longer than {request.max_tokens} tokens")
    if reply.finish == FILTERED or reply.refusal:
        raise Unanswered(Reason.ANSWER_REFUSED, f"{request.step}: {reply.refusal or 'filtered'}")
