"""What the plots of the benchmarks share: bars of ratios with their targets, and the same bytes each time."""

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from measure import RESULTS

MET, MISSED, TARGET = "#2c7fb8", "#d95f0e", "#333333"


def new_figure(panels: int) -> tuple[Figure, list[Axes]]:
    """A figure with so many panels side by side."""
    return new_columns([[1]] * panels)


def new_columns(heights: Sequence[Sequence[int]]) -> tuple[Figure, list[Axes]]:
    """A figure with columns of panels, which are given by their relative heights; its panels, column by column."""
    plt.rcParams["svg.hashsalt"] = "nep"
    plt.rcParams["font.size"] = 8
    figure = plt.figure(figsize=(10, 4.6), layout="constrained")
    columns = figure.add_gridspec(1, len(heights))
    panels = [columns[0, place].subgridspec(len(each), 1, height_ratios=each) for place, each in enumerate(heights)]
    return figure, [figure.add_subplot(panel) for column in panels for panel in column]


def save(figure: Figure, name: str) -> None:
    """Write `benchmarks/results/<name>.svg`."""
    figure.savefig(RESULTS / f"{name}.svg", metadata={"Date": None})


def draw_ratios(axes: Axes, rows: list[dict[str, Any]], label_of_axis: str) -> None:
    """A bar for each ratio, a mark at its target."""
    labels = [f"{row['what']} {row['clip']}, against {row['against']}" for row in rows]
    places = range(len(rows))
    axes.barh(places, [row["ratio"] for row in rows], color=[MET if is_met(row) else MISSED for row in rows])
    axes.plot([row["target"] for row in rows], places, linestyle="", marker="|", markersize=9, color=TARGET)
    for place, row in zip(places, rows, strict=True):
        axes.annotate(f" {label(row['ratio'])}", (max(row["ratio"], row["target"]), place), va="center")
    axes.set_yticks(places, labels)
    axes.invert_yaxis()
    values = [value for row in rows for value in (row["ratio"], row["target"])]
    axes.set_xscale("log")
    # Room on the right for the labels.
    axes.set_xlim(min(1, *values) / 1.2, max(values) ** 1.25)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if max(values) < 100 else (1,)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel(label_of_axis)


def label(ratio: float) -> str:
    """Three digits or more."""
    return f"{ratio:,.0f}" if ratio >= 100 else f"{ratio:.3g}"


def is_met(row: dict[str, Any]) -> bool:
    """Whether a ratio is on the right side of its target."""
    return row["ratio"] <= row["target"] if row.get("at_most") else row["ratio"] >= row["target"]
