"""A block of `experiments`."""

from pydantic import Field, model_validator

from nep.config.base import Block
from nep.config.grpo import Grpo
from nep.config.sft import Sft


class Experiment(Block):
    """What is trained on what: `sft`, `grpo` or both, each a set of changes to the block of that name."""

    sft: Sft | None = Field(None, description="Changes to the block `sft`; absent: no supervised fine-tuning.")
    grpo: Grpo | None = Field(None, description="Changes to the block `grpo`; absent: no GRPO.")

    @model_validator(mode="after")
    def _trains_something(self) -> "Experiment":
        if self.sft is None and self.grpo is None:
            raise ValueError("an experiment needs 'sft', 'grpo' or both")
        return self
