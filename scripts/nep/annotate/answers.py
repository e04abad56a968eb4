"""The typed answers of the steps: what a model must answer, and what of it is refused and asked for again.

`context` of a validation: `duration` (seconds of the video) and `scenes` (number of its events), where a step has them.
Source of the fields of the published chain: arXiv 2505.22457 and its repository sail-sg/Video-Next-Event-Prediction.
"""

import re
from itertools import pairwise
from typing import Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from nep.annotate.rows import TimedEvent
from nep.annotate.texts import Text
from nep.ask.request import Answer

# Models round times: what is this little beyond the end is the end.
ROUNDING_S = 0.1
SPLIT_POINT = re.compile(r"between Scene (\d{1,4}) and Scene (\d{1,4})", re.IGNORECASE)
ABOUT_A_CAPTION = re.compile(r"\bcaptions?\b", re.IGNORECASE)

YesNo = Literal["yes", "no"]


class WithEvents(Answer):
    """An answer with events in their order, inside the video."""

    events: list[TimedEvent] = Field(min_length=1)

    @field_validator("events")
    @classmethod
    def _inside_and_in_order(cls, events: list[TimedEvent], info: ValidationInfo) -> list[TimedEvent]:
        duration = info.context["duration"]
        for number, event in enumerate(events, start=1):
            if event.end > duration + ROUNDING_S:
                raise ValueError(f"event {number} ends at {event.end:g} s, but the video at {duration:g} s")
            if event.start > min(event.end, duration):
                raise ValueError(f"event {number}: start {event.start:g} s must not be after end {event.end:g} s")
        for number, (before, after) in enumerate(pairwise(events), start=2):
            if after.start <= before.start:
                raise ValueError(f"event {number} must start after event {number - 1}, at {before.start:g} s")
        return [event.model_copy(update={"end": min(event.end, duration)}) for event in events]


class Caption(Answer):
    """What the whole video shows, and the same as notes with the seconds of everything that happens."""

    caption: Text
    notes: Text


class CaptionEvents(WithEvents):
    """The events that a caption tells."""


class WatchedEvents(WithEvents):
    """The events that the frames show, and a caption of the whole video."""

    caption: Text


class CausalAnalysis(Answer):
    """Whether what happens later follows from what happened before, and after which scene."""

    reasoning: Text
    suitable: YesNo
    optimal_split_point: str = Field(description='"between Scene X and Scene X+1"; "none" where not suitable')

    @property
    def last_scene(self) -> int:
        """Number of the last scene of the first part."""
        return int(SPLIT_POINT.fullmatch(self.optimal_split_point.strip())[1])

    @model_validator(mode="after")
    def _is_between_neighbours(self, info: ValidationInfo) -> "CausalAnalysis":
        if self.suitable == "no":
            return self
        scenes = info.context["scenes"]
        found = SPLIT_POINT.fullmatch(self.optimal_split_point.strip())
        if not found or int(found[2]) != int(found[1]) + 1 or not 1 <= int(found[1]) < scenes:
            raise ValueError(
                f"optimal_split_point must be 'between Scene X and Scene X+1' for an X from 1 to {scenes - 1}, "
                f"found {self.optimal_split_point!r}"
            )
        return self


class SplitCaptions(Answer):
    """A caption of each part."""

    caption_part1: Text
    caption_part2: Text


class CutPlan(CausalAnalysis, SplitCaptions):
    """Analysis and captions at once; the captions are of no use where the video is not suitable."""


class PlacedCut(Answer):
    """When the second part begins."""

    time_s: float

    @field_validator("time_s")
    @classmethod
    def _inside(cls, time_s: float, info: ValidationInfo) -> float:
        duration = info.context["duration"]
        if not 0 < time_s < duration:
            raise ValueError(f"time_s must lie between 0 and {duration:g}, the end of the video, found {time_s:g}")
        return time_s


class Prediction(Answer):
    """What comes next, and why."""

    reasoning: Text
    prediction: Text


class AboutTheVideo(Prediction):
    """A prediction that speaks of the video, not of a caption, which who sees the video does not have."""

    @field_validator("reasoning", "prediction")
    @classmethod
    def _names_no_caption(cls, text: str) -> str:
        if ABOUT_A_CAPTION.search(text):
            raise ValueError("the text speaks of a caption; it must speak of the video")
        return text


class Hindsight(Answer):
    """A reasoning that leads to what is known to happen."""

    reasoning: Text

    @field_validator("reasoning")
    @classmethod
    def _names_no_caption(cls, text: str) -> str:
        return AboutTheVideo._names_no_caption(text)


class Critique(Answer):
    """A prediction, compared with what happened."""

    critique: Text
    conclusion: Literal["right", "wrong"]


class Shown(Answer):
    """Whether each part shows what its caption says."""

    reasoning: Text
    first_part: YesNo
    second_part: YesNo
