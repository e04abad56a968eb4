"""One plot of what `benchmarks/train_*.py` measured: ratios against their targets, and the loss curves of SFT.

    .venv/bin/python benchmarks/plot_train.py

reads `benchmarks/results/train_{sft,update}.json`, writes `benchmarks/results/train.svg`.
"""

from matplotlib.axes import Axes

from measure import RESULTS
from nep.files import read_json
from plots import draw_ratios, new_figure, save


def main() -> None:
    """Draw."""
    sft, update = (read_json(RESULTS / f"train_{name}.json") for name in ("sft", "update"))
    figure, axes = new_figure(1 + len(sft["measured"]))
    draw_ratios(axes[0], [*sft["ratios"], *update["ratios"]], "times faster than the peer (mark: target)")
    for panel, (model, measured) in zip(axes[1:], sft["measured"].items(), strict=True):
        draw_losses(panel, model, {name: found["losses"] for name, found in measured.items()})
    save(figure, "train")


def draw_losses(axes: Axes, model: str, curves: dict[str, list[float]]) -> None:
    """Loss by step, a line for each trainer."""
    for name, losses in curves.items():
        axes.plot(range(1, len(losses) + 1), losses, label=name)
    axes.set_title(f"SFT, {model}")
    axes.set_xlabel("step")
    axes.set_ylabel("loss of the step's batch")
    axes.legend()


if __name__ == "__main__":
    main()
