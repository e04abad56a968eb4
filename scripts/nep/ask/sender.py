"""Sends requests as fast as an endpoint bears, again where they fail, until it is clear that it gives no answers."""

import asyncio
import random
import time
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from typing import Any

from nep.ask.connection import FILTERED, Connection, FailedError, NotTakenError, Reply
from nep.ask.pace import Breaker, Crowd, Pace
from nep.ask.request import EndpointDownError, Request, Unanswered
from nep.ask.spending import Spending
from nep.config.asked_endpoint import AskedEndpoint
from nep.rows.quarantine import Reason

# Of one request, while others are answered.
MOST_TRIES = 8
# Before any answer: then it is not the videos.
MOST_NOT_TAKEN = 20
# Beyond any wait: more would be beyond a float.
MOST_DOUBLINGS = 50


@dataclass(frozen=True)
class Patience:
    """Seconds between tries: the first wait, doubled with each failure up to the longest."""

    first_s: float = 0.5
    longest_s: float = 60.0

    def wait(self, tries: int, draw: random.Random) -> float:
        """Seconds to wait after so many tries: between half of the step and all of it."""
        return min(self.longest_s, self.first_s * 2.0 ** min(tries - 1, MOST_DOUBLINGS)) * draw.uniform(0.5, 1.0)


class Sender:
    """All requests of one process to one endpoint; they share what is learned from each. `share`: see `Asker`."""

    def __init__(
        self, endpoint: AskedEndpoint, connection: Connection, spending: Spending, share: int, patience: Patience
    ) -> None:
        self._endpoint = endpoint
        self._connection = connection
        self._spending = spending
        self._patience = patience
        self._crowd = Crowd(endpoint.concurrent // share)
        self._requests = Pace(_part_of(endpoint.requests_per_minute, share), time.monotonic)
        self._tokens = Pace(_part_of(endpoint.tokens_per_minute, share), time.monotonic)
        self._breaker = Breaker(endpoint.down_after_s, time.monotonic)
        self._quiet_until = 0.0
        self._not_taken = 0
        self._down: EndpointDownError | None = None
        self._is_down = asyncio.Event()

    @property
    def state(self) -> str:
        """How it goes, for people."""
        return f"{self._crowd.allowed} at once"

    async def reply(self, request: Request, body: dict[str, Any], key: str) -> Reply:
        """The reply to `body`, in as many tries as it takes. `key` decides the waits between them.

        Raises Unanswered where this request cannot be answered, EndpointDownError where none can.
        """
        draw = random.Random(key)
        began = time.monotonic()
        failures = 0
        for tries in count(1):
            try:
                return await self._try(request, body)
            except EndpointDownError as error:
                self._end(error)
                raise
            except FailedError as failure:
                # An endpoint that has too much to do says nothing about this request.
                failures += not failure.throttled
                if failures >= MOST_TRIES and self._breaker.answered_since(began) and not failure.throttled:
                    raise Unanswered(Reason.ANSWER_FAILED, f"{request.step}: {failures} tries; {failure}") from None
                self._spending.usage[request.step].retries += 1
                await self._rest(self._patience.wait(tries, draw))
        raise AssertionError("count() ends")

    async def close(self) -> None:
        """Nothing is kept open."""

    async def _try(self, request: Request, body: dict[str, Any]) -> Reply:
        ticket = await self._crowd.enter()
        try:
            async with self._spending.reserved(request):
                tokens = self._spending.tokens(request)
                await self._rest(max(self._requests.take(1), self._tokens.take(tokens)))
                while (quiet := self._quiet_until - time.monotonic()) > 0:
                    await self._rest(quiet)
                reply = await self._connection.send(body)
                self._spending.pay(request, reply)
            self._tokens.correct(reply.prompt_tokens + reply.completion_tokens - tokens)
            self._crowd.answered()
            self._breaker.answered()
            return reply
        except FailedError as failure:
            self._learn(failure, ticket)
            raise
        except NotTakenError as error:
            self._breaker.answered()
            raise self._verdict(request, error) from None
        finally:
            self._crowd.leave()

    def _learn(self, failure: FailedError, ticket: int) -> None:
        if failure.overload:
            self._crowd.overloaded(ticket)
        wait_s = failure.wait_s or 0.0
        self._quiet_until = max(self._quiet_until, time.monotonic() + wait_s)
        if self._breaker.failed(wait_s):
            raise EndpointDownError(
                f"{self._endpoint.model}: no answer in {self._endpoint.down_after_s} s ('down_after_s'), the last "
                f"failure: {failure}" + (f", to be asked again in {wait_s:.0f} s" if wait_s else "") + ". Every answer "
                "so far is kept: start again when the endpoint answers"
            )

    def _verdict(self, request: Request, error: NotTakenError) -> Exception:
        if str(error) == FILTERED:
            return Unanswered(Reason.ANSWER_REFUSED, f"{request.step}: the endpoint filtered the request")
        self._not_taken += 1
        if self._not_taken >= MOST_NOT_TAKEN and not self._spending.was_answered:
            return EndpointDownError(
                f"{self._endpoint.model}: none of the first {self._not_taken} requests was taken; the last: {error}"
            )
        return Unanswered(Reason.ANSWER_FAILED, f"{request.step}: {error}")

    async def _rest(self, seconds: float) -> None:
        """Wait; less where the run ends meanwhile. Raises EndpointDownError then."""
        if self._down is None and seconds > 0:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._is_down.wait(), seconds)
        if self._down is not None:
            raise self._down

    def _end(self, error: EndpointDownError) -> None:
        self._down = self._down or error
        self._is_down.set()


def _part_of(limit: float | None, share: int) -> float | None:
    return None if limit is None else limit / share
