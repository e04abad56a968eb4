"""Published figures that stand beside a run's own for reference, in percent; none of them was measured here."""

from dataclasses import dataclass

from nep.config.whole import Config
from nep.report.benchmarks import OVERALL
from nep.report.collect import BASE, REFERENCE, ModelName

PAPER = "arXiv 2505.22457"
DATA_SET_NAMES = {"mix": "Mix", "critique": "CFT", "distill": "Distill", "next_event": "SFT"}
MIXED = {"next_event", "critique", "distill"}


@dataclass(frozen=True)
class PublishedRow:
    """Accuracies in percent by split, as published, without intervals."""

    name: str
    accuracies: dict[str, float]


@dataclass(frozen=True)
class PublishedTable:
    """What one source reports for one base model on one benchmark."""

    task: str
    model: str
    short: str
    source: str
    rows: tuple[PublishedRow, ...]


def _by_hop(name: str, overall: float, hop1: float, hop2: float, hop3: float, interpolation: float) -> PublishedRow:
    hops = {"hop1": hop1, "hop2": hop2, "hop3": hop3, "interpolation": interpolation}
    return PublishedRow(name, {OVERALL: overall, **hops})


# FutureBench: micro averages over 1,056 questions.
TABLES = (
    PublishedTable(
        "futurebench",
        "Qwen2.5-VL-7B-Instruct on V1-33K",
        "7B",
        PAPER,
        (
            _by_hop("Base", 52.6, 56.1, 57.5, 49.8, 50.5),
            _by_hop("SFT", 61.3, 67.6, 64.2, 57.7, 59.3),
            PublishedRow("CFT", {OVERALL: 55.8}),
            PublishedRow("Distill", {OVERALL: 59.5}),
            PublishedRow("Mix", {OVERALL: 63.4}),
            _by_hop("GRPO", 70.7, 83.8, 81.3, 62.7, 65.2),
        ),
    ),
    PublishedTable(
        "futurebench",
        "Qwen2.5-VL-3B-Instruct on V1-33K",
        "3B",
        PAPER,
        (
            PublishedRow("Base", {OVERALL: 49.9}),
            PublishedRow("SFT", {OVERALL: 61.1}),
            PublishedRow("CFT", {OVERALL: 50.1}),
            PublishedRow("Distill", {OVERALL: 57.2}),
            PublishedRow("Mix", {OVERALL: 56.9}),
        ),
    ),
    PublishedTable(
        "futurebench",
        "later systems",
        "later",
        "their papers; other base models and data",
        (
            PublishedRow("Video-CoE", {OVERALL: 75.0}),
            PublishedRow("Future-L1 (Qwen3-VL-8B, DAPO)", {OVERALL: 85.4}),
        ),
    ),
)


def published_tables(config: Config, task: str) -> list[PublishedTable]:
    """The tables of a task, the one first whose figures stand beside the run's own: of the same size of base model."""
    name = config.model.repo or config.model.path or ""
    return sorted((table for table in TABLES if table.task == task), key=lambda table: f"-{table.short}-" not in name)


def reference_table(config: Config, task: str) -> PublishedTable | None:
    """The first of a task's tables; None where nothing was published."""
    return next(iter(published_tables(config, task)), None)


def reference_figure(config: Config, task: str, model: ModelName) -> float | None:
    """The published overall accuracy of the same kind of training; None where there is none."""
    table, name = reference_table(config, task), training_name(config, model)
    found = [row.accuracies[OVERALL] for row in table.rows if row.name == name] if table else []
    return found[0] if found else None


def training_name(config: Config, model: ModelName) -> str | None:
    """The paper's name for how a model was trained, from the data sets of its last stage."""
    if model.stage == BASE:
        return "Base"
    if model.stage == REFERENCE:
        return None
    if model.stage == "grpo":
        return "GRPO"
    block = config.experiments[model.experiment].sft
    names = set(block.datasets) if block else set()
    if names >= MIXED:
        return "Mix"
    return next((known for name, known in DATA_SET_NAMES.items() if name in names), None)
