"""How fast an endpoint may be asked: limits a minute, requests under way, and when to give up.

Nothing here knows the endpoint; times are seconds of a monotonic clock and come from outside.
"""

import asyncio
from collections import deque
from collections.abc import Callable

MINUTE = 60.0
# Requests under way at the start, before the endpoint has shown what it takes.
FIRST_UNDER_WAY = 4


class Pace:
    """A limit a minute, without bursts: what is let through leaves the way blocked for as long as it takes.

    The generic cell rate algorithm (ITU-T I.371) with no tolerance. `per_minute` None: no limit.
    """

    def __init__(self, per_minute: float | None, clock: Callable[[], float]) -> None:
        self._seconds = 0.0 if per_minute is None else MINUTE / per_minute
        self._clock = clock
        self._free = clock()

    def take(self, amount: float) -> float:
        """Seconds to wait before an amount may go; it is taken at once, in the order of asking."""
        start = max(self._free, self._clock())
        self._free = start + amount * self._seconds
        return start - self._clock()

    def correct(self, amount: float) -> None:
        """More (or less) was used than was taken."""
        self._free += amount * self._seconds


class Crowd:
    """Requests under way at once: as many as the endpoint bears, at most `most`.

    Additive increase, multiplicative decrease: a full round of answers lets one more in (until the first overload: each
    answer does), an overload halves the number, once for all requests that were under way then.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self.allowed = min(most, FIRST_UNDER_WAY)
        self._under_way = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._answers = 0
        self._overloads = 0

    async def enter(self) -> int:
        """Wait for a place; the ticket that `overloaded` takes."""
        while self._under_way >= self.allowed:
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                # It may have had its turn: the next one takes it.
                self._call()
                raise
        self._under_way += 1
        return self._overloads

    def leave(self) -> None:
        """Give the place back."""
        self._under_way -= 1
        self._call()

    def answered(self) -> None:
        """An answer came."""
        self._answers += 1
        if self._answers >= (self.allowed if self._overloads else 1):
            self._answers = 0
            self.allowed = min(self._most, self.allowed + 1)
            self._call()

    def overloaded(self, ticket: int) -> None:
        """A request that entered with this ticket was turned away, or got no answer in time."""
        if ticket == self._overloads:
            self._overloads += 1
            self._answers = 0
            self.allowed = max(1, self.allowed // 2)

    def _call(self) -> None:
        free = self.allowed - self._under_way
        while free > 0 and self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                free -= 1


class Breaker:
    """Opens when requests have failed for `after_s` seconds and none was answered."""

    def __init__(self, after_s: float, clock: Callable[[], float]) -> None:
        self._after_s = after_s
        self._clock = clock
        self._failing_since: float | None = None
        self._answer: float | None = None

    def answered(self) -> None:
        """An answer came."""
        self._failing_since = None
        self._answer = self._clock()

    def answered_since(self, moment: float) -> bool:
        """Whether an answer came after a moment."""
        return self._answer is not None and self._answer > moment

    def failed(self, wait_s: float = 0.0) -> bool:
        """Whether this failure, after which the endpoint wants `wait_s` seconds of quiet, opens it."""
        now = self._clock()
        if self._failing_since is None:
            self._failing_since = now
        return now - self._failing_since + wait_s >= self._after_s
