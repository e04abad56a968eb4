"""The block `shots`."""

from typing import Self

from pydantic import Field, model_validator

from nep.config.base import Block


class Shots(Block):
    """Looking through plain videos before they are annotated (`source.kind: videos`): length, shots, copies."""

    shards: int = Field(4, ge=1, description="Jobs that share the videos.")
    processes: int = Field(2, ge=1, description="Processes of one job.")
    timeout_s: float = Field(120, gt=0, description="Seconds after which work on one video is given up.")
    min_duration_s: float = Field(2, ge=0, description="A shorter video, in seconds, is left out.")
    max_duration_s: float = Field(180, gt=0, description="A longer video, in seconds, is left out.")
    threshold: float = Field(
        3, gt=0, description="How many times as much as around it a frame must change to begin a shot."
    )
    min_shot_s: float = Field(0.5, ge=0, description="Shortest time between two shot boundaries, in seconds.")
    near_duplicate_distance: float | None = Field(
        0.015,
        ge=0,
        lt=1,
        description="Of two videos whose signatures are as near as this, the later one by name is left out; null: "
        "neither.",
    )

    @model_validator(mode="after")
    def _some_duration_fits(self) -> Self:
        if self.min_duration_s >= self.max_duration_s:
            raise ValueError("'min_duration_s' must be less than 'max_duration_s'")
        return self
