"""Plots of what `benchmarks/train_*.py` measured: ratios with the loss curves of SFT, and costs of a step.

    PYTHONPATH=scripts .venv/bin/python benchmarks/plot_train.py

reads `benchmarks/results/train_{sft,update,grpo,costs}.json`, writes `train.svg` and `train_costs.svg` there.
"""

from typing import Any

from matplotlib.axes import Axes

from measure import RESULTS
from nep.files import read_json
from plots import MET, TARGET, draw_ratios, new_figure, save


def main() -> None:
    """Draw."""
    sft, update, grpo, costs = (
        read_json(RESULTS / f"train_{name}.json") for name in ("sft", "update", "grpo", "costs")
    )
    figure, axes = new_figure(1 + len(sft["measured"]))
    draw_ratios(
        axes[0], [*sft["ratios"], *grpo["ratios"], *update["ratios"]], "times faster than the peer (mark: target)"
    )
    for panel, (model, measured) in zip(axes[1:], sft["measured"].items(), strict=True):
        draw_losses(panel, model, {name: found["losses"] for name, found in measured.items()})
    save(figure, "train")
    figure, axes = new_figure(len(costs["lines"]))
    for panel, (name, points) in zip(axes, costs["lines"].items(), strict=True):
        draw_costs(panel, name, points)
    save(figure, "train_costs")


def draw_losses(axes: Axes, model: str, curves: dict[str, list[float]]) -> None:
    """Loss by step, a line for each trainer."""
    for name, losses in curves.items():
        axes.plot(range(1, len(losses) + 1), losses, label=name)
    axes.set_title(f"SFT, {model}")
    axes.set_xlabel("step")
    axes.set_ylabel("loss of the step's batch")
    axes.legend()


def draw_costs(axes: Axes, name: str, points: list[dict[str, Any]]) -> None:
    """Seconds of a step against what is varied: the median, and each step as a dot."""
    stage, varied = name.split(", ")
    for point in points:
        axes.plot([point["value"]] * len(point["steps"]), point["steps"], ".", color=TARGET, markersize=3)
    axes.plot([point["value"] for point in points], [point["seconds"] for point in points], color=MET)
    axes.set_title(stage)
    axes.set_xlabel(varied)
    axes.set_ylabel("seconds of a step")
    axes.set_ylim(bottom=0)


if __name__ == "__main__":
    main()
