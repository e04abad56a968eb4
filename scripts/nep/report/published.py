"""Which published figures of a benchmark stand beside a run's own."""

from nep.benchmarks.shown import PublishedTable, shown
from nep.config.whole import Config
from nep.layout.models import experiment_and_seed
from nep.report.benchmarks import OVERALL
from nep.report.collect import BASE, REFERENCE, ModelName

DATA_SET_NAMES = {"mix": "Mix", "critique": "CFT", "distill": "Distill", "next_event": "SFT"}
MIXED = {"next_event", "critique", "distill"}


def published_tables(config: Config, task: str) -> list[PublishedTable]:
    """The tables of a task, the one first whose figures stand beside the run's own: of the same size of base model."""
    name = config.model.repo or config.model.path or ""
    return sorted(shown(task).published, key=lambda table: f"-{table.short}-" not in name)


def reference_table(config: Config, task: str) -> PublishedTable | None:
    """The first of a task's tables; None where nothing was published."""
    return next(iter(published_tables(config, task)), None)


def reference_figure(config: Config, task: str, model: ModelName, split: str = OVERALL) -> float | None:
    """The published accuracy of the same kind of training on a split; None where there is none."""
    table, name = reference_table(config, task), training_name(config, model)
    return table.rows.get(name, {}).get(split) if table else None


def training_name(config: Config, model: ModelName) -> str | None:
    """The paper's name for how a model was trained, from the data sets of its last stage."""
    if model.stage == BASE:
        return "Base"
    if model.stage == REFERENCE:
        return None
    if model.stage == "grpo":
        return "GRPO"
    block = config.experiments[experiment_and_seed(model.experiment)[0]].sft
    names = set(block.datasets) if block else set()
    if names >= MIXED:
        return "Mix"
    return next((known for name, known in DATA_SET_NAMES.items() if name in names), None)
