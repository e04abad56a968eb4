"""Model cards for the Hugging Face hub, one for each trained model, filled from the run."""

from typing import Any

import yaml

from nep.benchmarks.shown import shown
from nep.config.grpo import Grpo
from nep.config.sft import Sft
from nep.config.whole import Config
from nep.layout.models import STAGE_NAMES, TRAINING_STAGES
from nep.report.benchmarks import OVERALL, is_own, split_name
from nep.report.collect import EvaluatedModel, Run
from nep.report.tables import CONTROL_NAMES, find_score, result_tables

METHODS = {"sft": "supervised fine-tuning", "grpo": "group relative policy optimisation (arXiv 2402.03300)"}


def model_cards(run: Run) -> dict[str, str]:
    """Text of README.md by the model's name."""
    trained = [model for model in run.checkpoints if model.stage in METHODS]
    return {f"{model.experiment}-{model.stage}": model_card(run, model) for model in trained}


def model_card(run: Run, model: EvaluatedModel) -> str:
    """Header that the hub reads (base model, data set, scores), then training, scores and their limits.

    The licence is left to whoever publishes the model: a run does not know it.
    """
    config, name = run.config, f"{model.experiment}-{model.stage}"
    stages = _stages_before(config, model)
    parts = [
        "---",
        yaml.safe_dump(_header(run, model, name), sort_keys=False, allow_unicode=True).rstrip(),
        "---",
        f"# {_line(config.run)} {name}",
        "",
        "The model sees the first part of a video and says what happens next. Made from "
        f"{_base(config)} by {', then '.join(METHODS[stage] for stage in stages)}.",
        "",
        "## Training",
        "",
        "| stage | data sets | steps | learning rate | trained |",
        "|---|---|---|---|---|",
        *(_training_row(run, model.experiment, stage) for stage in stages),
        "",
        f"Data: {_data(config)}. Frames: {config.vision.frames} at most, {config.vision.min_pixels:,} to "
        f"{config.vision.max_pixels:,} pixels each. Seed: {config.seed_of(model.experiment)}.",
        "",
        "## Evaluation",
        "",
        "Accuracy in percent, with its 95 % interval.",
        "",
        *_score_table(run, model),
        "",
        "## Limits",
        "",
        f"{_chance_sentence(model)}{_control_sentence(model, config)}",
    ]
    return "\n".join(parts) + "\n"


def _header(run: Run, model: EvaluatedModel, name: str) -> dict[str, Any]:
    config = run.config
    header: dict[str, Any] = {"library_name": "transformers", "pipeline_tag": "video-text-to-text"}
    if config.model.kind == "hub":
        header["base_model"] = config.model.repo
    if config.source.kind == "hub":
        header["datasets"] = [config.source.repo]
    header["tags"] = ["next-event-prediction", model.stage]
    results = [
        {
            "task": {"type": "video-text-to-text"},
            "dataset": {"name": _benchmark(config, table.task), "type": table.task, "config": table.variant},
            "metrics": [{"type": "accuracy", "value": round(score.accuracy, 2)}],
        }
        for table in result_tables(run)
        if (score := find_score(model, table.task, table.variant, OVERALL))
    ]
    return {**header, "model-index": [{"name": name, "results": results}]}


def _stages_before(config: Config, model: EvaluatedModel) -> list[str]:
    experiment = config.trainings[model.experiment]
    return [stage for stage in TRAINING_STAGES[: TRAINING_STAGES.index(model.stage) + 1] if getattr(experiment, stage)]


def _training_row(run: Run, experiment: str, stage: str) -> str:
    block: Sft | Grpo = getattr(run.config.trainings[experiment], stage)
    log = next(log for log in run.training if (log.experiment, log.stage) == (experiment, stage))
    sets = ", ".join(f"`{name}`" + ("" if size is None else f" ({size:,})") for name, size in block.datasets.items())
    parts = "language model through adapters" if block.lora else _trained_parts(block)
    return f"| {STAGE_NAMES[stage]} | {sets} | {len(log.metrics):,} | {block.lr:g}, {block.schedule} | {parts} |"


def _trained_parts(block: Sft | Grpo) -> str:
    return ", ".join(
        part.replace("_", " ") for part in ("language_model", "projector", "vision_tower") if part not in block.freeze
    )


def _score_table(run: Run, model: EvaluatedModel) -> list[str]:
    rows = ["| task | answers | split | n | accuracy | 95 % interval |", "|---|---|---|---|---|---|"]
    for table in result_tables(run):
        for split in table.splits:
            if score := find_score(model, table.task, table.variant, split):
                name = split_name(split)
                interval = "–" if score.ci_low is None else f"{score.ci_low:.1f}–{score.ci_high:.1f}"
                figures = f"{score.n:,} | {score.accuracy:.1f} | {interval}"
                rows.append(f"| {_line(table.task)} | {table.variant} | {_line(name)} | {figures} |")
    return rows


def _chance_sentence(model: EvaluatedModel) -> str:
    asked = dict.fromkeys(score.task for score in model.scores)
    chances = [f"{benchmark.title} {benchmark.chance:g} %" for benchmark in map(shown, asked) if benchmark.chance]
    left_out = [f"{shown(row.task).title} ({_line(row.reason)})" for row in model.left_out]
    stated = (("Guessing gives", chances), ("Not evaluated", left_out))
    return " ".join(f"{what}: {', '.join(parts)}." for what, parts in stated if parts)


def _control_sentence(model: EvaluatedModel, config: Config) -> str:
    found = [
        f"{CONTROL_NAMES[control].lower()} {score.accuracy:.1f} %"
        for control in config.evaluate.controls
        for task in config.evaluate.tasks
        if (score := find_score(model, task, f"{config.report.headline}_{control}", OVERALL))
    ]
    return f" Controls, which should fall to chance: {', '.join(found)}." if found else ""


def _benchmark(config: Config, task: str) -> str:
    """The name of the published benchmark, where the questions come from a hub."""
    name, is_local = shown(task).title, is_own(task) and config.source.kind != "hub"
    return f"{name}-like questions of a local data set" if is_local else name


def _base(config: Config) -> str:
    model = config.model
    return f"`{model.repo}` at revision `{model.revision}`" if model.kind == "hub" else "a local base model"


def _data(config: Config) -> str:
    source = config.source
    return f"`{source.repo}` at revision `{source.revision}`" if source.kind == "hub" else "a local data set"


def _line(text: str) -> str:
    """Text that cannot leave its line or its cell."""
    return " ".join(text.replace("|", r"\|").split())
