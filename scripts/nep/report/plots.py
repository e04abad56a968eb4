"""What curves and histograms share: the panel's size in SVG units, scales and ticks."""

import math
from collections.abc import Callable
from dataclasses import dataclass

WIDTH, HEIGHT = 340, 190
LEFT, RIGHT, TOP, BOTTOM = 40, 8, 8, 22
TICKS = 4


@dataclass(frozen=True)
class Tick:
    """A grid line: its place in SVG units and its label."""

    place: float
    label: str


def nice_ticks(low: float, high: float, count: int = TICKS) -> list[float]:
    """Round numbers that enclose [low, high], about `count` steps of 1, 2, 2.5 or 5 times a power of ten."""
    span = high - low or abs(high) or 1.0
    power = 10 ** math.floor(math.log10(span / count))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power * count >= span * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    last = max(last, first + 1)
    return [round(place * step, 12) for place in range(first, last + 1)]


def scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    """The linear map that takes `low` to `start` and `high` to `end`."""
    span = high - low or 1.0
    return lambda value: start + (value - low) / span * (end - start)
