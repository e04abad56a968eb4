"""Limits a minute, requests at once and the breaker, on a clock of the test's own."""

import asyncio
from random import Random

from nep.ask.pace import FIRST_UNDER_WAY, Breaker, Crowd, Pace
from nep.ask.sender import Patience


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_pace_never_lets_more_through_than_its_limit() -> None:
    clock = Clock()
    pace = Pace(120, clock)
    assert [pace.take(1) for _ in range(4)] == [0, 0.5, 1.0, 1.5]
    clock.now = 10.0
    assert [pace.take(1), pace.take(1)] == [0, 0.5], "an idle time is not made up for by a burst"


def test_what_was_used_beyond_the_estimate_delays_the_next() -> None:
    pace = Pace(60, Clock())
    pace.take(2)
    pace.correct(3)
    assert pace.take(1) == 5.0
    pace.correct(-6)
    assert pace.take(1) <= 0


def test_without_a_limit_nothing_waits() -> None:
    pace = Pace(None, Clock())
    assert [pace.take(1e9), pace.take(1)] == [0, 0]


def test_a_crowd_grows_until_the_first_overload_and_then_by_one_a_round() -> None:
    crowd = Crowd(100)
    for _ in range(28):
        crowd.answered()
    assert crowd.allowed == FIRST_UNDER_WAY + 28
    crowd.overloaded(0)
    assert crowd.allowed == 16
    for _ in range(16):
        crowd.answered()
    assert crowd.allowed == 17


def test_requests_of_one_moment_halve_a_crowd_once_and_never_empty_it() -> None:
    crowd = Crowd(8)
    crowd.overloaded(0)
    crowd.overloaded(0)
    assert crowd.allowed == 2
    for ticket in range(1, 9):
        crowd.overloaded(ticket)
    assert crowd.allowed == 1


def test_a_crowd_grows_no_further_than_its_limit() -> None:
    crowd = Crowd(2)
    for _ in range(9):
        crowd.answered()
    assert crowd.allowed == 2


def test_no_more_are_under_way_than_allowed_and_a_cancelled_one_passes_its_turn_on() -> None:
    async def work() -> list[int]:
        crowd, entered = Crowd(2), []

        async def one(number: int) -> None:
            await crowd.enter()
            entered.append(number)

        tasks = [asyncio.create_task(one(number)) for number in range(5)]
        await asyncio.sleep(0)
        assert entered == [0, 1]
        crowd.leave()
        # Number 2 was called, but has not run yet.
        tasks[2].cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert entered == [0, 1, 3]
        crowd.leave()
        await asyncio.gather(*tasks, return_exceptions=True)
        return entered

    assert asyncio.run(work()) == [0, 1, 3, 4]


def test_a_breaker_opens_after_its_time_without_an_answer() -> None:
    clock = Clock()
    breaker = Breaker(60, clock)
    assert not breaker.failed()
    clock.now = 59
    assert not breaker.failed()
    breaker.answered()
    clock.now = 100
    assert not breaker.failed()
    clock.now = 160
    assert breaker.failed()


def test_a_breaker_opens_at_once_where_the_endpoint_wants_a_longer_rest() -> None:
    assert Breaker(60, Clock()).failed(wait_s=3600)
    assert not Breaker(60, Clock()).failed(wait_s=30)


def test_waits_double_up_to_the_longest_and_the_same_request_waits_the_same() -> None:
    patience = Patience(first_s=1, longest_s=60)
    waits = [patience.wait(tries, Random("key")) for tries in (1, 2, 3, 9, 10_000)]
    assert [0.5 <= wait / step <= 1 for wait, step in zip(waits, (1, 2, 4, 60, 60), strict=True)] == [True] * 5
    assert patience.wait(3, Random("key")) == waits[2] != patience.wait(3, Random("other"))
