"""The models of a run, and what they were trained and evaluated with, as the run's folder says."""

import json
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError
from safetensors import safe_open

from nep.config.vision import Vision
from nep.data.prompts import Variant
from nep.errors import InputError, did_you_mean
from nep.files import read_json
from nep.layout.models import BASE, STAGE_NAMES, experiment_and_stage, model_folder, model_manifest, trained_in
from nep.rows.clip import METADATA_KEY


@dataclass(frozen=True)
class RunModel:
    """A checkpoint of a run.

    Attributes:
        name: as the run's folders have it: `base`, `<experiment>-sft`, `<experiment>-grpo`.
        path: as users name it: `base`, `<experiment>/sft`, `<experiment>/grpo`.
        title: for people; without the experiment's name where the run has one experiment.
        folder: of the checkpoint.
    """

    name: str
    path: str
    title: str
    folder: Path


@dataclass(frozen=True)
class RunModels:
    """The models that are finished, base first, and the budget of frames and tokens that they have in the run.

    `max_new_tokens`: of the run's evaluation by variant; without those that were not asked.
    """

    run: Path
    models: tuple[RunModel, ...]
    vision: Vision
    max_new_tokens: dict[Variant, int] = field(default_factory=dict)

    def named(self, path: str | None) -> RunModel:
        """The model `path` (or its `name`); None: the last one trained. Raises InputError that lists what there is."""
        if path is None:
            return self.models[-1]
        found = [model for model in self.models if path in (model.path, model.name)]
        if not found:
            known = [model.path for model in self.models]
            offers = filter(None, [did_you_mean(path, known)])
            raise InputError("; ".join([f"{self.run}: no model {path!r}; it has {', '.join(known)}", *offers]))
        return found[0]


def models_of_run(run: Path) -> RunModels:
    """What a run's folder holds.

    Raises InputError where it holds no finished model, or does not say what models are shown.
    """
    if not run.is_dir():
        raise InputError(f"{run}: no such folder; a run's results lie in results/<run>")
    trained = {name: experiment_and_stage(name) for name in trained_in(run) if _has_checkpoint(run, name)}
    several = len({experiment for experiment, _ in trained.values()}) > 1
    there = (run / model_manifest(BASE)).is_file() and _has_checkpoint(run, BASE)
    models = [RunModel(BASE, BASE, STAGE_NAMES[BASE], run / model_folder(BASE))] if there else []
    models += [
        RunModel(
            name,
            f"{experiment}/{stage}",
            f"{experiment} {STAGE_NAMES[stage]}" if several else STAGE_NAMES[stage],
            run / model_folder(name),
        )
        for name, (experiment, stage) in trained.items()
    ]
    if not models:
        raise InputError(
            f"{run}: no finished model; models/base.manifest.json or <experiment>/sft/manifest.json is one"
        )
    return RunModels(run, tuple(models), vision_of_run(run), _tokens_of_run(run))


def vision_of_run(run: Path) -> Vision:
    """The block `vision` of a run: as its frames are cached for training, else as its evaluation was asked.

    Raises InputError where neither says.
    """
    for cached in sorted((run / "encode" / "frames").glob("*.safetensors")):
        with safe_open(cached, framework="np") as frames:
            noted = json.loads((frames.metadata() or {}).get(METADATA_KEY, "{}"))
        if "vision" in noted:
            return Vision.model_validate(noted["vision"])
    for scores in sorted((run / "evaluate").glob("*/scores.json")):
        try:
            return Vision.model_validate(read_json(scores)["vision"])
        except (KeyError, ValidationError):
            # An engine or an API, which has settings of its own.
            continue
    raise InputError(f"{run}: neither encode/frames nor evaluate/*/scores.json says what models are shown of a video")


def _tokens_of_run(run: Path) -> dict[Variant, int]:
    for scores in sorted((run / "evaluate").glob("*/scores.json")):
        return read_json(scores)["settings"]["max_new_tokens"]
    return {}


def _has_checkpoint(run: Path, name: str) -> bool:
    return (run / model_folder(name) / "config.json").is_file()
