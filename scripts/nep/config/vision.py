"""The block `vision`."""

from typing import Literal

from pydantic import Field, model_validator

from nep.config.base import Block


class Vision(Block):
    """The frame and pixel budget: the one block that encode, GRPO and evaluation share."""

    sampling: Literal["uniform", "fps"] = Field(
        "uniform",
        description="`uniform` samples `frames` frames at equal distances; `fps` samples `fps` frames a second, "
        "`frames` at most.",
    )
    frames: int = Field(32, ge=2, multiple_of=2, description="Number of frames of a clip; with `fps`, the most.")
    fps: float = Field(2.0, gt=0, description="Frames sampled per second, where `sampling` is `fps`.")
    min_pixels: int = Field(3136, ge=784, description="A frame is resized to at least this many pixels.")
    max_pixels: int = Field(16384, ge=784, description="A frame is resized to at most this many pixels.")

    @model_validator(mode="after")
    def _bounds_in_order(self) -> "Vision":
        if self.min_pixels > self.max_pixels:
            raise ValueError(f"min_pixels ({self.min_pixels}) must not exceed max_pixels ({self.max_pixels})")
        return self
