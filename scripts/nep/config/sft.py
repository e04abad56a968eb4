"""The block `sft`."""

from pydantic import Field

from nep.config.training import Datasets, LearningRate, Training


class Sft(Training):
    """Supervised fine-tuning."""

    datasets: Datasets = Field({"next_event": None})
    lr: LearningRate = 1e-5
    epochs: int = Field(3, ge=1, description="Passes over the data sets.")
    text_only_epochs: int = Field(
        0, ge=0, description="Passes over the same samples without their videos, before the others."
    )
    batch_size: int = Field(16, ge=1, description="Samples in a step, over all processes.")
    max_tokens: int = Field(32768, ge=16, description="Most tokens of a sample; a longer one ends the run.")
    validation_samples: int = Field(
        64, ge=0, description="Held-out samples of each data set whose loss is measured in validation."
    )
