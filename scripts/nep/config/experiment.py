"""A block of `experiments`."""

from typing import Annotated

from pydantic import Field, field_validator, model_validator

from nep.config.base import Block
from nep.config.grpo import Grpo
from nep.config.sft import Sft

Seed = Annotated[int, Field(ge=0)]


class Experiment(Block):
    """What is trained on what: `sft`, `grpo` or both, each a set of changes to the block of that name."""

    sft: Sft | None = Field(None, description="Changes to the block `sft`; absent: no supervised fine-tuning.")
    grpo: Grpo | None = Field(None, description="Changes to the block `grpo`; absent: no GRPO.")
    seeds: list[Seed] | None = Field(
        None,
        min_length=1,
        description="Seeds to train with, one training (and evaluation) each: which samples it takes, their order, "
        "rollouts. Data and base model stay those of the run's `seed`. null: one training with the run's `seed`.",
    )

    @field_validator("seeds")
    @classmethod
    def _seeds_differ(cls, seeds: list[int] | None) -> list[int] | None:
        if seeds is not None and len(set(seeds)) < len(seeds):
            raise ValueError("a seed stands twice; name each once")
        return seeds

    @model_validator(mode="after")
    def _trains_something(self) -> "Experiment":
        if self.sft is None and self.grpo is None:
            raise ValueError("an experiment needs 'sft', 'grpo' or both")
        return self
