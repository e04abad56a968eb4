"""Histograms as geometry, in the panels' SVG units; the template draws them and writes the table behind each."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from nep.report.plots import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Tick, nice_ticks, scale

BINS = 20
GAP = 1.5


@dataclass(frozen=True)
class Bar:
    """One bin: its place in SVG units, its bounds in words, and how many values it holds."""

    x: float
    y: float
    width: float
    height: float
    label: str
    count: int


@dataclass(frozen=True)
class Histogram:
    """Counts of one quantity by bin. `summary` says its median, for those who do not see the bars."""

    title: str
    note: str
    summary: str
    bars: list[Bar]
    x_ticks: list[Tick]
    y_ticks: list[Tick]


def share_histogram(title: str, note: str, shares: Sequence[float]) -> Histogram:
    """Shares in [0, 1] in `BINS` equal bins, labelled in percent; what lies outside counts in the bin at that end."""
    counts, _ = np.histogram(np.clip(shares, 0.0, 1.0), bins=BINS, range=(0.0, 1.0))
    bounds = [100 * place / BINS for place in range(BINS + 1)]
    labels = [f"{low:g}–{high:g} %" for low, high in pairwise(bounds)]
    ticks = [(place, f"{place} %") for place in (0, 25, 50, 75, 100)]
    return _histogram(title, note, f"median {100 * float(np.median(shares)):.0f} %", bounds, counts, labels, ticks)


def count_histogram(title: str, note: str, values: Sequence[int], unit: str) -> Histogram:
    """Whole numbers in bins of one round width from 0 on; the largest hundredth of them shares the last bin."""
    top = max(1, math.ceil(np.percentile(values, 99)))
    width = math.ceil(nice_ticks(0, top, BINS)[1])
    edges = range(0, top + width + 1, width)
    counts, _ = np.histogram(np.minimum(values, edges[-1] - 1), bins=edges)
    labels = [f"{low:,}–{high - 1:,}" if width > 1 else f"{low:,}" for low, high in pairwise(edges)]
    if max(values) >= edges[-1]:
        labels[-1] = f"{edges[-2]:,} or more"
    ticks = [(edge, f"{edge:,}") for edge in edges[:: math.ceil(len(edges) / 6)]]
    return _histogram(title, note, f"median {np.median(values):,.0f} {unit}", edges, counts, labels, ticks)


def category_histogram(title: str, note: str, summary: str, counts: dict[str, int]) -> Histogram:
    """One bar for each name, in the order of `counts`."""
    bounds = list(range(len(counts) + 1))
    ticks = [(place + 0.5, name) for place, name in enumerate(counts)]
    return _histogram(title, note, summary, bounds, list(counts.values()), list(counts), ticks)


def _histogram(
    title: str,
    note: str,
    summary: str,
    bounds: Sequence[float],
    counts: Sequence[int],
    labels: Sequence[str],
    x_ticks: Sequence[tuple[float, str]],
) -> Histogram:
    to_x = scale(bounds[0], bounds[-1], LEFT, WIDTH - RIGHT)
    y_ticks = [int(tick) for tick in nice_ticks(0, int(max(1, *counts))) if tick == int(tick)]
    to_y = scale(0, y_ticks[-1], HEIGHT - BOTTOM, TOP)
    bars = [
        Bar(
            x=to_x(low) + GAP / 2,
            y=to_y(count),
            width=to_x(high) - to_x(low) - GAP,
            height=to_y(0) - to_y(count),
            label=label,
            count=int(count),
        )
        for (low, high), count, label in zip(pairwise(bounds), counts, labels, strict=True)
    ]
    return Histogram(
        title=title,
        note=note,
        summary=summary,
        bars=bars,
        x_ticks=[Tick(to_x(place), text) for place, text in x_ticks],
        y_ticks=[Tick(to_y(value), _short(value)) for value in y_ticks],
    )


def _short(count: int) -> str:
    # The margin left of the axis holds five characters.
    return f"{count:,}" if count < 10_000 else f"{count / 1000:g}k"
