"""What was run: on which data and model, when, and where its configuration differs from the default."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import yaml

from nep.config.base import EXECUTION_ONLY, Block
from nep.config.experiment import Experiment
from nep.config.model import Model
from nep.config.source import Source
from nep.config.whole import Config
from nep.layout.models import TRAINING_STAGES
from nep.report.collect import Job, Run
from nep.workflow.machine import Machine

REQUIRED = "(no default)"


@dataclass(frozen=True)
class Change:
    """A key of the configuration whose value is not the default; both as YAML."""

    key: str
    value: str
    default: str


def config_changes(config: Config) -> list[Change]:
    """Keys that differ from the defaults of nep.config, in its order; an experiment's against the run's own blocks.

    Keys that only say how a stage is run (`EXECUTION_ONLY`) are no part of a run's recipe and are left out.
    """
    changes = list(_changes(config, type(config), ""))
    for name, experiment in config.experiments.items():
        for stage in TRAINING_STAGES:
            block = getattr(experiment, stage)
            if block is not None:
                prefix = f"experiments.{name}.{stage}"
                found = list(_differences(block, getattr(config, stage), f"{prefix}."))
                changes += found or [Change(prefix, f"as {stage}", REQUIRED)]
        if experiment.seeds is not None:
            changes.append(Change(f"experiments.{name}.seeds", _yaml(experiment.seeds), _yaml(None)))
    return changes


def run_description(run: Run) -> list[tuple[str, str]]:
    """(name, value) of what was run, on what and when."""
    config = run.config
    trained = [f"{name} ({_stages(experiment)}{_seeds(experiment)})" for name, experiment in config.experiments.items()]
    rows = [
        ("Source", _place(config.source)),
        ("Base model", _place(config.model)),
        ("Experiments", "; ".join(trained)),
        ("Evaluation", f"{', '.join(config.evaluate.tasks)} by {config.evaluate.backend}"),
        ("Seed", str(config.seed)),
    ]
    return [*rows, *_machines(run.machines), *_times(run.jobs)]


def _machines(machines: list[Machine]) -> list[tuple[str, str]]:
    lines = [
        f"{machine.processor}, {machine.cores} cores, {machine.memory_gib:,} GiB; {_gpus(machine.gpus)}; "
        f"{machine.system}, Python {machine.python}"
        for machine in machines
    ]
    return [("On", line) for line in lines] or [("On", "not recorded")]


def _gpus(models: tuple[str, ...]) -> str:
    counts = Counter(models)
    return ", ".join(f"{count} × {name}" for name, count in counts.items()) or "no GPU"


def _stages(experiment: Experiment) -> str:
    stages = [(name, getattr(experiment, name)) for name in TRAINING_STAGES]
    return ", then ".join(f"{name.upper()} on {_sets(block.datasets)}" for name, block in stages if block)


def _seeds(experiment: Experiment) -> str:
    return "" if experiment.seeds is None else f", seeds {', '.join(map(str, experiment.seeds))}"


def _sets(datasets: dict[str, int | None]) -> str:
    return " + ".join(name if size is None else f"{size:,} {name}" for name, size in datasets.items())


def _place(place: Source | Model) -> str:
    return f"{place.repo} @ {place.revision}" if place.kind == "hub" else f"{place.path} ({place.kind})"


def _times(jobs: list[Job]) -> list[tuple[str, str]]:
    if not jobs:
        return [("When", "not recorded")]
    began, ended = min(job.ended - job.seconds for job in jobs), max(job.ended for job in jobs)
    first, last = (datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M") for moment in (began, ended))
    return [("When", f"{first} to {last} UTC, first job to last")]


def _changes(block: Block, kind: type[Block], prefix: str) -> Iterator[Change]:
    """Against the defaults that the class of the block declares."""
    for name, value in block:
        if name in EXECUTION_ONLY or (kind is Config and name == "experiments"):
            continue
        field = kind.model_fields[name]
        default = None if field.is_required() else field.get_default()
        if isinstance(value, Block) and isinstance(default, Block):
            yield from _differences(value, default, f"{prefix}{name}.")
        elif isinstance(value, Block):
            yield from _changes(value, type(value), f"{prefix}{name}.")
        elif field.is_required() or value != default:
            yield Change(f"{prefix}{name}", _yaml(value), REQUIRED if field.is_required() else _yaml(default))


def _differences(block: Block, other: Block, prefix: str) -> Iterator[Change]:
    """Against another block of the same class."""
    for name, value in block:
        default = getattr(other, name)
        if name in EXECUTION_ONLY or value == default:
            continue
        if isinstance(value, Block) and isinstance(default, Block):
            yield from _differences(value, default, f"{prefix}{name}.")
        elif isinstance(value, Block):
            yield from _changes(value, type(value), f"{prefix}{name}.")
        else:
            yield Change(f"{prefix}{name}", _yaml(value), _yaml(default))


def _yaml(value: Any) -> str:
    text = yaml.safe_dump(_plain(value), default_flow_style=True, sort_keys=False, allow_unicode=True, width=10_000)
    return text.removesuffix("\n").removesuffix("\n...")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value.result_settings() if isinstance(value, Block) else value
