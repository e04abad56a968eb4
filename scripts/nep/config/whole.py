"""The whole configuration, checked as it is read from YAML."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from nep.config.annotate import Annotate
from nep.config.base import Block
from nep.config.convert import Convert
from nep.config.demo_videos import DemoVideos
from nep.config.encode import Encode
from nep.config.endpoint import Endpoint
from nep.config.evaluate import Evaluate
from nep.config.experiment import Experiment
from nep.config.grpo import Grpo
from nep.config.model import Model
from nep.config.own_benchmark import OwnBenchmark
from nep.config.report import Report
from nep.config.seedbench import SEEDBENCH
from nep.config.sft import Sft
from nep.config.shots import Shots
from nep.config.source import Source
from nep.config.split import Split
from nep.config.tiny_model import TinyModel
from nep.config.vision import Vision
from nep.errors import InputError, did_you_mean
from nep.layout.models import (
    BASE,
    TRAINING_STAGES,
    experiment_and_seed,
    experiment_and_stage,
    model_name,
    training_name,
)
from nep.layout.runs import NAME

Name = Annotated[str, Field(pattern=f"^{NAME}$")]


class Demo(Block):
    """What the demo makes for itself; `source.path` and `model.path` then name the folders that it is made in."""

    videos: DemoVideos | None = Field(None, description="The data set to make; null: none.")
    model: TinyModel | None = Field(None, description="The base model to make; null: none.")


class Config(Block):
    """A configuration file: the whole configuration of one run."""

    run: Name = Field(description="Name of the run, whose results lie in `results/<run>`.")
    seed: int = Field(0, ge=0, description="Seed of everything that is drawn.")
    source: Source
    demo: Demo = Demo()
    model: Model
    shots: Shots = Shots()
    annotate: Annotate | None = Field(None, description="How plain videos are annotated; null: the source brings it.")
    questions: OwnBenchmark | None = Field(
        None, description="How questions about plain videos are written and chosen; null: none are."
    )
    split: Split = Split()
    vision: Vision = Vision()
    encode: Encode = Encode()
    convert: Convert = Convert()
    sft: Sft = Sft()
    grpo: Grpo = Grpo()
    experiments: dict[Name, Experiment] = Field(
        description="What is trained, by name; `{}`: nothing, the base model is evaluated alone."
    )
    references: dict[Name, Endpoint] = Field({}, description="Models behind an API to evaluate besides, by name.")
    evaluate: Evaluate = Evaluate()
    report: Report = Report()

    @field_validator("experiments")
    @classmethod
    def _base_is_taken(cls, experiments: dict[str, Experiment]) -> dict[str, Experiment]:
        if BASE in experiments:
            raise ValueError(f"{BASE!r} names the untrained model; call the experiment something else")
        return experiments

    @model_validator(mode="after")
    def _models_have_names_of_their_own(self) -> "Config":
        if taken := sorted(set(self.references) & {BASE, "controls", *self.trained_models}):
            raise ValueError(f"references.{taken[0]}: a model of this run has that name; call the reference otherwise")
        return self

    @model_validator(mode="after")
    def _shown_models_are_trained(self) -> "Config":
        known = [BASE, *_models_of(self.experiments)]
        for key, names in self.report.named_models.items():
            for unknown in [name for name in names if name not in known]:
                hint = did_you_mean(unknown, known) or f"there are {', '.join(known)}"
                raise ValueError(f"{key}: no model '{unknown}' in this run; {hint}")
        for key, curve in self.report.curves.items():
            if others := [name for name in curve.models if experiment_and_stage(name)[1] != "sft"]:
                raise ValueError(f"report.curves.{key}.models: '{others[0]}' is no model of SFT, whose samples count")
        return self

    @model_validator(mode="after")
    def _asked_levels_have_questions(self) -> "Config":
        if missing := [level for level in self.evaluate.seedbench_levels if level not in self.source.seedbench_r1]:
            raise ValueError(
                f"evaluate.tasks: {SEEDBENCH}_{missing[0]} needs an annotation file, source.seedbench_r1.{missing[0]}"
            )
        return self

    @model_validator(mode="after")
    def _plain_videos_are_annotated(self) -> "Config":
        if self.source.kind == "videos" and self.annotate is None:
            raise ValueError("source.kind 'videos' has no annotations: name the model that makes them, annotate.vision")
        if self.source.kind != "videos" and self.annotate is not None:
            raise ValueError(f"annotate: source.kind '{self.source.kind}' brings annotations; it is for kind 'videos'")
        return self

    @model_validator(mode="after")
    def _questions_come_from_one_place(self) -> "Config":
        if self.questions is None:
            return self
        if self.annotate is None:
            raise ValueError("questions: they are written from timed events, which the block 'annotate' makes")
        if self.source.questions is not None:
            raise ValueError("questions: 'source.questions' brings questions already; set one of them to null")
        return self

    @property
    def own_questions(self) -> OwnBenchmark | None:
        """The block `questions` with both endpoints, those of `annotate` where it names none."""
        if self.questions is None:
            return None
        return self.questions.asking(self.annotate.text_endpoint, self.annotate.vision)

    @property
    def has_questions(self) -> bool:
        """Whether there are questions to evaluate on, whoever wrote them."""
        return self.source.questions is not None or self.questions is not None

    @property
    def trainings(self) -> dict[str, Experiment]:
        """What is trained, by `training_name`: each experiment once, or once with each of its seeds."""
        return {
            training_name(name, seed): experiment
            for name, experiment in self.experiments.items()
            for seed in experiment.seeds or [None]
        }

    def seed_of(self, training: str) -> int:
        """The seed that a training draws with."""
        _, seed = experiment_and_seed(training)
        return self.seed if seed is None else seed

    @property
    def trained_models(self) -> list[str]:
        """Names of the trained models, in the order of the experiments."""
        return _models_of(self.trainings)


def load_config(values: dict[str, Any]) -> Config:
    """Check a configuration as read from YAML. Raises InputError with one line for each key that is wrong."""
    merged = {**values, "experiments": _with_defaults(values)}
    try:
        return Config.model_validate(merged)
    except ValidationError as error:
        lines = "\n".join(f"  {_describe(item)}" for item in error.errors())
        raise InputError(f"configuration:\n{lines}") from None


def _models_of(trainings: Mapping[str, Experiment]) -> list[str]:
    return [
        model_name(name, stage)
        for name, experiment in trainings.items()
        for stage in TRAINING_STAGES
        if getattr(experiment, stage) is not None
    ]


def _with_defaults(values: dict[str, Any]) -> Any:
    experiments = values.get("experiments")
    if not isinstance(experiments, dict):
        return experiments
    return {name: _experiment_with_defaults(values, body) for name, body in experiments.items()}


def _experiment_with_defaults(values: dict[str, Any], experiment: Any) -> Any:
    if not isinstance(experiment, dict):
        return experiment
    stages = {}
    for stage, changes in experiment.items():
        defaults = values.get(stage)
        mergeable = isinstance(defaults, dict) and isinstance(changes, dict)
        stages[stage] = {**defaults, **changes} if mergeable else changes
    return stages


def _describe(item: Any) -> str:
    place = ".".join(str(part) for part in item["loc"])
    if item["type"] != "extra_forbidden":
        return f"{place}: {item['msg']} (found {item['input']!r})"
    known = _known_keys(item["loc"][:-1])
    hint = did_you_mean(str(item["loc"][-1]), known) or f"known keys: {', '.join(sorted(known))}"
    return f"{place}: unknown key; {hint}"


def _known_keys(place: tuple[Any, ...]) -> list[str]:
    block: type[BaseModel] = Config
    for part in place:
        if part in block.model_fields:
            block = _block_of(block.model_fields[part].annotation) or block
    return list(block.model_fields)


def _block_of(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        if found := _block_of(argument):
            return found
    return None
