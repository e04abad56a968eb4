"""The block `annotate`."""

from typing import Literal

from pydantic import Field

from nep.config.asked_endpoint import AskedEndpoint
from nep.config.base import Block, Fraction

RecipeName = Literal["published", "timed_events"]


class Annotate(Block):
    """Annotating plain videos by models (`source.kind: videos`)."""

    vision: AskedEndpoint = Field(description="The model that is shown frames.")
    text: AskedEndpoint | None = Field(None, description="The model that is given texts alone; null: `vision`.")
    recipe: RecipeName = Field(
        "published",
        description="`published`: the chain that made V1-33K, one small question a step. `timed_events`: events with "
        "their times from the frames, and fewer, richer questions.",
    )
    prompts: str = Field("config/prompts/annotate", description="Folder of the prompts, a file a step.")
    frames: int = Field(32, ge=2, description="Frames that a question shows of the whole video.")
    size: int = Field(448, ge=56, description="Longer side of a frame, in pixels.")
    temperature: float = Field(0, ge=0, le=2, description="Temperature of the answers.")
    max_answer_tokens: int = Field(2048, ge=64, description="Longest answer, in tokens.")
    tolerance_s: float = Field(
        1, ge=0, description="The cut moves to the nearest boundary of a shot or event that is no farther, in seconds."
    )
    min_part_s: float = Field(0.5, gt=0, description="Shortest part that a cut may leave, in seconds.")
    verify: bool = Field(
        True, description="Show the model both parts with their captions, and leave out what it does not see there."
    )
    critique: bool = Field(True, description="Compare the prediction with what happened, for the set `critique`.")
    hindsight: bool = Field(
        False, description="Write a reasoning that knows the future as well, for the set `hindsight` (Video-CoE)."
    )
    shards: int = Field(4, ge=1, description="Jobs that share the videos and the endpoint's limits.")
    processes: int = Field(2, ge=1, description="Threads of one job that read frames.")
    max_failed_fraction: Fraction = Field(
        0.5, description="The run stops where a larger share of the videos got no answer that can be used."
    )

    @property
    def text_endpoint(self) -> AskedEndpoint:
        """The model that is given texts alone."""
        return self.text or self.vision

    @property
    def serves(self) -> bool:
        """Whether a job starts a model itself."""
        return any(endpoint.serve is not None for endpoint in (self.vision, self.text) if endpoint is not None)
