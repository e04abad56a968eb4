"""Asks by the Batch API: requests are gathered into files, which the provider works through in hours, for less.

What is under way is noted: a later start waits for the batches of an earlier one and takes their answers.
"""

import asyncio
import json
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

from nep.ask.connection import Connection, FailedError, NotTakenError, Reply
from nep.ask.lines import OwnFile, whole_rows
from nep.ask.pace import Breaker
from nep.ask.request import EndpointDownError, Request, Unanswered
from nep.ask.sender import MOST_TRIES, Patience
from nep.ask.spending import Spending
from nep.config.asked_endpoint import AskedEndpoint
from nep.files import sha256_of_json, to_json_line
from nep.rows.quarantine import Reason

# OpenAI's limits are 50,000 requests and 200 MB a file.
MOST_REQUESTS, MOST_BYTES = 50_000, 100_000_000
# A batch is sent when no request has come for so long.
GATHER_S = 5.0
POLL_S = 30.0
UNDER_WAY = ("validating", "in_progress", "finalizing", "cancelling")
FAILED = "failed"

T = TypeVar("T")


@dataclass(frozen=True)
class Gathered:
    """A request that waits for its batch: the line of the file, and where the batch's name will be."""

    key: str
    line: bytes
    batch: asyncio.Future[str]


class BatchSender:
    """All requests of one process to one endpoint, by its Batch API; see `Sender`. Notes lie below `folder`."""

    def __init__(
        self, endpoint: AskedEndpoint, connection: Connection, spending: Spending, folder: Path, patience: Patience
    ) -> None:
        self._endpoint = endpoint
        self._connection = connection
        self._spending = spending
        self._patience = patience
        self._breaker = Breaker(endpoint.down_after_s, time.monotonic)
        place = folder / sha256_of_json([endpoint.url, endpoint.model])[:16]
        self._earlier = _under_way(place)
        self._notes = OwnFile(place)
        self._gathered: list[Gathered] = []
        self._sending: asyncio.Task[None] | None = None
        self._outcomes: dict[str, asyncio.Task[dict[str, Reply | str]]] = {}
        self._waiting = 0

    @property
    def state(self) -> str:
        """How it goes, for people."""
        return f"{self._waiting} in {sum(not task.done() for task in self._outcomes.values())} batches"

    async def reply(self, request: Request, body: dict[str, Any], key: str) -> Reply:
        """The reply to `body`; as `Sender.reply`."""
        fault = ""
        async with self._spending.reserved(request):
            self._waiting += 1
            try:
                for _ in range(MOST_TRIES):
                    batch = self._earlier.pop(key, None) or await self._sent(key, body)
                    outcome = (await self._outcomes_of(batch)).get(key, "it expired")
                    if isinstance(outcome, Reply):
                        self._spending.pay(request, outcome)
                        self._notes.append(to_json_line({"taken": key}).encode())
                        return outcome
                    fault = f"{outcome} in batch {batch}"
                    self._spending.usage[request.step].retries += 1
            finally:
                self._waiting -= 1
        raise Unanswered(Reason.ANSWER_FAILED, f"{request.step}: {MOST_TRIES} tries; {fault}")

    async def close(self) -> None:
        """Stop waiting; what is under way stays noted."""
        tasks = [*self._outcomes.values(), *([self._sending] if self._sending else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._notes.close()

    async def _sent(self, key: str, body: dict[str, Any]) -> str:
        row = {"custom_id": key, "method": "POST", "url": "/v1/chat/completions", "body": body}
        waiting = Gathered(key, to_json_line(row).encode(), asyncio.get_running_loop().create_future())
        self._gathered.append(waiting)
        if self._sending is None or self._sending.done():
            self._sending = asyncio.create_task(self._send_when_gathered())
        return await waiting.batch

    async def _send_when_gathered(self) -> None:
        number = 0
        while number < len(self._gathered) < MOST_REQUESTS:
            number = len(self._gathered)
            await asyncio.sleep(GATHER_S)
        while self._gathered:
            part = _first_part(self._gathered)
            self._gathered = self._gathered[len(part) :]
            try:
                batch = await self._persist(partial(self._send, part))
                self._notes.append(to_json_line({"batch": batch, "keys": [waiting.key for waiting in part]}).encode())
            except Exception as error:
                # Those who wait get it; nobody waits for this task.
                _tell_all(part, error)
            else:
                for waiting in part:
                    if not waiting.batch.done():
                        waiting.batch.set_result(batch)

    async def _send(self, part: list[Gathered]) -> str:
        try:
            return await self._connection.start_batch(b"".join(waiting.line for waiting in part))
        except NotTakenError as error:
            raise EndpointDownError(f"{self._endpoint.model}: the endpoint takes no batch ({error})") from None

    async def _outcomes_of(self, batch: str) -> dict[str, Reply | str]:
        if batch not in self._outcomes:
            self._outcomes[batch] = asyncio.create_task(self._finished(batch))
        # Who waits may be cancelled; the others wait on.
        return await asyncio.shield(self._outcomes[batch])

    async def _finished(self, batch: str) -> dict[str, Reply | str]:
        """Reply, or what went wrong, by key, when the batch has ended."""
        while True:
            try:
                state = await self._persist(partial(self._connection.batch, batch))
            except NotTakenError:
                return {}
            if state.status == FAILED:
                raise EndpointDownError(
                    f"{self._endpoint.model}: batch {batch} failed ({state.errors}). Every answer so far is kept"
                )
            if state.status not in UNDER_WAY:
                break
            await asyncio.sleep(POLL_S)
        outcomes: dict[str, Reply | str] = {}
        for file in filter(None, (state.output_file_id, state.error_file_id)):
            data = await self._persist(partial(self._connection.content, file))
            outcomes |= dict(map(_outcome, data.splitlines()))
        return outcomes

    async def _persist(self, call: Callable[[], Awaitable[T]]) -> T:
        for tries in count(1):
            try:
                result = await call()
            except FailedError as failure:
                wait_s = failure.wait_s or 0.0
                if self._breaker.failed(wait_s):
                    raise EndpointDownError(f"no answer in {self._endpoint.down_after_s} s; {failure}") from None
                await asyncio.sleep(max(wait_s, self._patience.wait(tries, random.Random(tries))))
            else:
                self._breaker.answered()
                return result
        raise AssertionError("count() ends")


def _under_way(place: Path) -> dict[str, str]:
    """The batches of earlier starts, by the keys whose answers were not taken."""
    batches: dict[str, str] = {}
    taken = set()
    for file in sorted(place.glob("*.jsonl")):
        for row in whole_rows(file):
            if "taken" in row:
                taken.add(row["taken"])
            else:
                batches |= dict.fromkeys(row["keys"], row["batch"])
    return {key: batch for key, batch in batches.items() if key not in taken}


def _tell_all(part: list[Gathered], error: Exception) -> None:
    for waiting in part:
        if not waiting.batch.done():
            waiting.batch.set_exception(error)


def _first_part(gathered: list[Gathered]) -> list[Gathered]:
    size = 0
    for number, waiting in enumerate(gathered[:MOST_REQUESTS]):
        size += len(waiting.line)
        if number and size > MOST_BYTES:
            return gathered[:number]
    return gathered[:MOST_REQUESTS]


def _outcome(line: bytes) -> tuple[str, Reply | str]:
    row = json.loads(line)
    response = row.get("response") or {}
    try:
        if response.get("status_code") == 200:
            return row["custom_id"], Reply.of_json(response["body"])
        fault = row.get("error") or response
    except FailedError as error:
        fault = error
    return row["custom_id"], f"failed ({fault})"
