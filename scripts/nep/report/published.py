"""Published figures that stand beside a run's own for reference: arXiv 2505.22457, Qwen2.5-VL-7B-Instruct."""

from dataclasses import dataclass

from nep.report.results_table import OVERALL

TASK = "futurebench"
MODEL = "Qwen2.5-VL-7B-Instruct"
SOURCE = "arXiv 2505.22457"


@dataclass(frozen=True)
class PublishedRow:
    """Accuracies in percent by split, as published: micro averages over 1,056 questions, without intervals."""

    name: str
    accuracies: dict[str, float]


ROWS = (
    PublishedRow("Base", {OVERALL: 52.6, "hop1": 56.1, "hop2": 57.5, "hop3": 49.8, "interpolation": 50.5}),
    PublishedRow("SFT", {OVERALL: 61.3, "hop1": 67.6, "hop2": 64.2, "hop3": 57.7, "interpolation": 59.3}),
    PublishedRow("CFT", {OVERALL: 55.8}),
    PublishedRow("Distill", {OVERALL: 59.5}),
    PublishedRow("Mix", {OVERALL: 63.4}),
    PublishedRow("GRPO", {OVERALL: 70.7, "hop1": 83.8, "hop2": 81.3, "hop3": 62.7, "interpolation": 65.2}),
)


def published_rows(task: str) -> tuple[PublishedRow, ...]:
    """The rows of a task; none where nothing was published."""
    return ROWS if task == TASK else ()
