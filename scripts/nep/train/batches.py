"""Which samples a step trains on: functions of (seed, step) alone, so that a resumed run works them out again."""

import random
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from nep.jobs.ahead import one_ahead

Item = TypeVar("Item")


def epoch_order(count: int, seed: int | str, epoch: int) -> list[int]:
    """A permutation of `range(count)` drawn by (seed, epoch)."""
    order = list(range(count))
    random.Random(f"{seed}/{epoch}").shuffle(order)
    return order


def draw(count: int, per_step: int, seed: int | str, step: int) -> list[int]:
    """Indices of step `step` (from 0) of an endless pass over `range(count)`, each epoch in its own order."""
    positions = range(step * per_step, (step + 1) * per_step)
    orders = {epoch: epoch_order(count, seed, epoch) for epoch in {position // count for position in positions}}
    return [orders[position // count][position % count] for position in positions]


def prepared_ahead(steps: Iterable[int], prepare: Callable[[int], Item]) -> Iterator[tuple[int, Item]]:
    """Each step with what `prepare` makes for it; the next one is made in a thread while this one is used."""
    return one_ahead((step, prepare(step)) for step in steps)
