"""The block `convert`."""

from typing import Annotated, Literal

from pydantic import Field

from nep.config.base import Block, Fraction


class Convert(Block):
    """Making the data sets."""

    prompts: str = Field("config/prompts.yaml", description="File of the prompts' wordings.")
    hold_out_evaluation_videos: bool = Field(
        True, description="Whether the videos of evaluation questions are kept out of training."
    )
    near_duplicates: Literal["stop", "hold_out"] = Field(
        "stop",
        description="Where a training video looks like an evaluation video, `stop` ends the run and `hold_out` keeps "
        "the video out of training.",
    )
    near_duplicate_distance: float = Field(
        0.015, ge=0, le=2, description="Videos closer than this (1 - correlation of their frames) are near-duplicates."
    )
    validation_fraction: Fraction = Field(0.05, description="Share of the training videos kept for validation.")
    distractors: Literal["same_video", "other_videos"] = Field(
        "same_video", description="Which video the wrong options of a generated question are taken from."
    )
    hops: list[Annotated[int, Field(ge=1, le=3)]] = Field(
        [1, 2], description="Numbers of future events that generated questions ask about."
    )
    event_chains: bool = Field(
        False,
        description="Whether the questions of GRPO come with the events of the second part, which the reward "
        "`event_chain` compares with.",
    )
    cft_wrong_to_right: float = Field(
        2.1, gt=0, description="Wrong predictions kept for each right one in the critique data set (`cft`)."
    )
