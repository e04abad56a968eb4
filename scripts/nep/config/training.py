"""What the blocks `sft` and `grpo` share."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from nep.config.base import Block, Fraction, Precision

Part = Literal["vision_tower", "projector", "language_model"]
TrackerName = Literal["none", "tensorboard", "wandb"]

# Keys whose defaults differ between the two blocks.
Datasets = Annotated[
    dict[str, int | None],
    Field(description="Data sets to train on: name → number of samples (null: all of them)."),
]
LearningRate = Annotated[float, Field(gt=0, description="Learning rate at its highest.")]
Schedule = Annotated[
    Literal["cosine", "constant"],
    Field(description="What the learning rate does after the warm-up: fall to 0 or stay."),
]
WarmupRatio = Annotated[Fraction, Field(description="Share of the steps over which the learning rate rises from 0.")]
WeightDecay = Annotated[float, Field(ge=0, description="Weight decay of AdamW.")]
ValidateEvery = Annotated[int, Field(ge=1, description="Steps between two validations.")]


class Lora(Block):
    """Adapters of the language model's linear layers, trained in place of its own weights and merged at the end."""

    rank: int = Field(16, ge=1, description="Rank of an adapter.")
    alpha: float = Field(32.0, gt=0, description="An adapter's output is scaled by alpha / rank.")
    dora: bool = Field(False, description="Whether DoRA's magnitudes are trained too.")
    modules: list[str] | None = Field(
        None, min_length=1, description="Last names of the layers that get adapters (null: all but the head)."
    )


class Training(Block):
    """What SFT and GRPO share: engine, optimiser, precision, checkpoints."""

    datasets: Datasets
    balance_sources: bool = Field(
        False,
        description="Whether the first N samples of a data set are taken from its sources in turn, not from all of "
        "them at once.",
    )
    deepspeed: str = Field("config/deepspeed/zero2.json", description="File of DeepSpeed's settings.")
    nodes: int = Field(1, ge=1, description="Nodes that train.")
    processes: int = Field(1, ge=1, description="Processes on each node, one for each GPU.")
    threads: int = Field(2, ge=1, description="CPU threads of a process.")
    precision: Precision = Field("fp32", description="Number format of the training.")
    freeze: list[Part] = Field(
        ["vision_tower", "projector"], description="Parts of the model whose weights are not trained."
    )
    lora: Lora | None = Field(None, description="Adapters to train in place of the language model's own weights.")
    lr_factors: dict[Part, Annotated[float, Field(gt=0)]] = Field(
        {}, description="Factors of `lr` for single parts of the model."
    )
    gradient_checkpointing: bool = Field(
        False, description="Whether activations are computed again in the backward pass, which saves memory."
    )
    pack_tokens: int = Field(
        16384,
        ge=1,
        description="A step's sequences are packed without padding, at most this many tokens in one row (one forward "
        "and backward pass).",
    )
    lr: LearningRate
    schedule: Schedule = "cosine"
    warmup_ratio: WarmupRatio = 0.1
    weight_decay: WeightDecay = 0.0
    decay: Literal["all", "matrices"] = Field(
        "all", description="What weight decay acts on; `matrices` keeps it from biases and norms."
    )
    grad_clip: float = Field(1.0, gt=0, description="Largest norm of the gradient.")
    checkpoint_minutes: int = Field(10, ge=0, description="Minutes between two checkpoints (0: one after each step).")
    keep_checkpoints: int = Field(
        2,
        ge=1,
        description="How many of the newest checkpoints are kept until the training ends, beside the one that did best "
        "in validation (by loss in SFT, by accuracy in GRPO).",
    )
    validate_every: ValidateEvery = 100
    publish: Literal["last", "best"] = Field(
        "last",
        description="Which checkpoint is the result; `best` saves one at each validation and takes the best of them.",
    )
    tracker: TrackerName = Field(
        "none", description="Program that draws the metrics, from files in `results/<run>/trackers`."
    )

    @model_validator(mode="after")
    def _adapters_can_be_trained(self) -> "Training":
        if self.lora and "language_model" in self.freeze:
            raise ValueError("'lora' trains adapters of the language model; take language_model out of 'freeze'")
        return self

    @property
    def engine_environment(self) -> str | None:
        """Folder of the environment of another program that takes part in the training; None where none does."""
        return None

    @property
    def trains_adapters_only(self) -> bool:
        """Whether the model with its adapters switched off is the start model."""
        return self.lora is not None and {"vision_tower", "projector"} <= set(self.freeze)
