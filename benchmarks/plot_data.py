"""One plot of what `benchmarks/data_*.py` measured: ratios against their targets, and cost per video.

    .venv/bin/python benchmarks/plot_data.py

reads `benchmarks/results/data_*.json` (data_scale.json if it is there), writes `benchmarks/results/data.svg`.
"""

from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from measure import RESULTS
from nep.files import read_json

FIGURES = ("data_split", "data_read", "data_sample")
MET, MISSED, TARGET = "#2c7fb8", "#d95f0e", "#333333"


def main() -> None:
    """Draw."""
    plt.rcParams["svg.hashsalt"] = "nep"
    plt.rcParams["font.size"] = 8
    rows = [row for name in FIGURES for row in read_json(RESULTS / f"{name}.json")["ratios"]]
    scale = RESULTS / "data_scale.json"
    figure, axes = plt.subplots(1, 1 + scale.is_file(), figsize=(10, 4.6), squeeze=False, layout="constrained")
    draw_ratios(axes[0, 0], rows)
    if scale.is_file():
        draw_scale(axes[0, 1], read_json(scale)["per_video"])
    figure.savefig(RESULTS / "data.svg", metadata={"Date": None})


def draw_ratios(axes: Axes, rows: list[dict[str, Any]]) -> None:
    """A bar for each ratio, a mark at its target."""
    labels = [f"{row['what']} {row['clip']}, against {row['against']}" for row in rows]
    places = range(len(rows))
    axes.barh(places, [row["ratio"] for row in rows], color=[MET if is_met(row) else MISSED for row in rows])
    axes.plot([row["target"] for row in rows], places, linestyle="", marker="|", markersize=9, color=TARGET)
    for place, row in zip(places, rows, strict=True):
        axes.annotate(f" {label(row['ratio'])}", (max(row["ratio"], row["target"]), place), va="center")
    axes.set_yticks(places, labels)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xlabel("times less CPU than the peer; for the floor: times its CPU (mark: target)")
    axes.margins(x=0.15)


def label(ratio: float) -> str:
    """Three digits or more."""
    return f"{ratio:,.0f}" if ratio >= 100 else f"{ratio:.3g}"


def is_met(row: dict[str, Any]) -> bool:
    """Whether a ratio is on the right side of its target."""
    return row["ratio"] <= row["target"] if row.get("at_most") else row["ratio"] >= row["target"]


def draw_scale(axes: Axes, rows: list[dict[str, float]]) -> None:
    """A line for each stage."""
    for stage in ("split", "encode"):
        axes.plot([row["records"] for row in rows], [row[f"{stage}_ms"] for row in rows], marker="o", label=stage)
    axes.set_xscale("log")
    axes.set_ylim(bottom=0)
    axes.set_xlabel("videos in the run (3 s, 96×72 pixels)")
    axes.set_ylabel("CPU milliseconds a video")
    axes.legend()


if __name__ == "__main__":
    main()
