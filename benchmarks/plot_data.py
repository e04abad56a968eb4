"""One plot of what `benchmarks/data_*.py` measured: ratios against their targets, and cost per video.

    PYTHONPATH=scripts .venv/bin/python benchmarks/plot_data.py

reads `benchmarks/results/data_*.json` (data_per_video.json if it is there), writes `benchmarks/results/data.svg`.
"""

from matplotlib.axes import Axes

from measure import RESULTS
from nep.files import read_json
from plots import draw_ratios, new_figure, save

FIGURES = ("data_split", "data_read", "data_sample")
LABEL = "times less CPU than the peer; for the floor: times its CPU (mark: target)"


def main() -> None:
    """Draw."""
    rows = [row for name in FIGURES for row in read_json(RESULTS / f"{name}.json")["ratios"]]
    scale = RESULTS / "data_per_video.json"
    figure, axes = new_figure(1 + scale.is_file())
    draw_ratios(axes[0], rows, LABEL)
    if scale.is_file():
        draw_scale(axes[1], read_json(scale)["per_video"])
    save(figure, "data")


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
