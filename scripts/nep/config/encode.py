"""The block `encode`."""

from typing import Literal

from pydantic import Field

from nep.config.base import Block


class Encode(Block):
    """The cache of sampled frames, and of the vision tower's output where tower and projector are frozen."""

    shards: int = Field(2, ge=1, description="Jobs that share the clips.")
    processes: int = Field(2, ge=1, description="Processes of one job that read clips.")
    timeout_s: float = Field(120, gt=0, description="Seconds after which work on one clip is given up.")
    features: bool = Field(
        True,
        description="Whether the frozen vision tower is run once and its output kept; else frames alone are kept.",
    )
    dtype: Literal["float32", "bfloat16"] = Field("float32", description="Number format of the vision tower.")
    batch_videos: int = Field(16, ge=1, description="Clips that go through the vision tower at once.")
