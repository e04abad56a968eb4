"""One plot of what `benchmarks/dag_scale.py` measured: seconds and memory of Snakemake, with their limits.

    PYTHONPATH=scripts .venv/bin/python benchmarks/plot_dag.py

reads `benchmarks/results/dag_scale.json`, writes `benchmarks/results/dag_scale.svg`.
"""

from typing import Any

from matplotlib.axes import Axes

from dag_scale import EXPERIMENTS, LIMITS, SHARDS
from measure import RESULTS
from nep.files import read_json
from plots import MET, MISSED, TARGET, new_figure, save

COLORS = dict(zip(LIMITS, (MET, MISSED), strict=True))
SIZES = {
    "shards": f"shards of split and encode ({EXPERIMENTS} experiments)",
    "experiments": f"experiments ({SHARDS} shards)",
}


def main() -> None:
    """Draw."""
    found = read_json(RESULTS / "dag_scale.json")
    points, limits = found["points"], found["limits"]
    lines = {
        "shards": [point for point in points if point["experiments"] == EXPERIMENTS],
        "experiments": [point for point in points if point["shards"] == SHARDS],
        "jobs": points,
    }
    figure, axes = new_figure(len(lines))
    for place, size in zip(axes, SIZES, strict=False):
        draw(place, lines[size], size, "cpu_s", limits)
        place.set_xlabel(SIZES[size])
        place.set_ylabel("processor seconds")
    draw(axes[-1], lines["jobs"], "jobs", "rss_mib", dict.fromkeys(LIMITS, limits["rss_mib"]))
    axes[-1].set_xlabel("jobs of a whole run")
    axes[-1].set_ylabel("peak memory (MiB)")
    save(figure, "dag_scale")


def draw(axes: Axes, points: list[dict[str, Any]], size: str, cost: str, limits: dict[str, float]) -> None:
    """A line for each call, and one at each limit."""
    rows = sorted(points, key=lambda point: point[size])
    for call, color in COLORS.items():
        axes.plot([row[size] for row in rows], [row[call][cost] for row in rows], marker="o", color=color, label=call)
    for limit in sorted({limits[call] for call in LIMITS}):
        axes.axhline(limit, color=TARGET, linestyle=":")
        axes.annotate(f"limit {limit:g}", (rows[-1][size], limit), ha="right", va="bottom", color=TARGET)
    axes.set_ylim(bottom=0)
    axes.legend(loc="center left")


if __name__ == "__main__":
    main()
