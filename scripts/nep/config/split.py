"""The block `split`."""

from typing import Literal

from pydantic import Field

from nep.config.base import Block, Fraction


class Split(Block):
    """Cutting each video at its split time."""

    shards: int = Field(4, ge=1, description="Jobs that share the videos, here and in the search for near-duplicates.")
    processes: int = Field(2, ge=1, description="Processes of one job that cuts, signs or shuffles videos.")
    timeout_s: float = Field(120, gt=0, description="Seconds after which work on one video is given up.")
    crf: int = Field(
        18, ge=0, le=51, description="x264's quality of the frames that are re-encoded around a cut (lower is better)."
    )
    preset: str = Field(
        "veryfast", description="x264's preset for a video that cannot be copied and is encoded as a whole."
    )
    audio: Literal["drop", "keep"] = Field(
        "drop", description="`keep` copies the sound where MP4 can hold its codec; `drop` leaves it out."
    )
    incomplete: Literal["note", "quarantine"] = Field(
        "note",
        description="A video that ends before its file says, or has frames that do not decode: `note` cuts what is "
        "there and says so in the manifest, `quarantine` leaves it out.",
    )
    max_quarantine_fraction: Fraction = Field(
        0.1, description="The run stops where a larger share of the videos cannot be used."
    )
