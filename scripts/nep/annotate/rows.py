"""The rows of `events.jsonl`, and the form in which `records` reads them."""

from typing import Any, Literal

from pydantic import Field

from nep.annotate.texts import Line, Text
from nep.rows.base import Row
from nep.rows.quarantine import Quarantined


class TimedEvent(Row):
    """What happens from `start` to `end`, in seconds from the first frame; equal where one frame alone shows it."""

    start: float = Field(ge=0, allow_inf_nan=False)
    end: float = Field(ge=0, allow_inf_nan=False)
    description: Line


class AnnotatedVideo(Row):
    """One video with all that models said about it; what was not asked for is None.

    Attributes:
        id: as its record will have it. video_path: below the video folder. duration: seconds.
        events: in order; scene K of the published form is the K-th. split_scene: the last one of the first part.
        cut: seconds from the first frame to the second part. placed: as the model placed the cut. boundary: what it was
            moved to, None where it stayed.
        verified: a model saw both captions in their parts. hindsight: a reasoning that knows the second part.
    """

    id: str
    video_path: str
    duration: float
    caption: Text
    events: tuple[TimedEvent, ...]
    split_scene: int
    cut: float
    placed: float
    boundary: Literal["shot", "event"] | None
    caption_part1: Text
    caption_part2: Text
    reasoning: Text
    prediction: Text
    verified: bool | None = None
    critique: Text | None = None
    conclusion: Literal["right", "wrong"] | None = None
    hindsight: Text | None = None


AnnotateRow = AnnotatedVideo | Quarantined


def published_row(row: AnnotatedVideo) -> dict[str, Any]:
    """The row as an object of `next_event_prediction.json`."""
    scenes = [{"scene": f"Scene {number}", "description": event.description} for number, event in _numbered(row)]
    before = {"start": min(row.events[row.split_scene - 1].start, row.cut), "end": row.cut}
    published = {
        "video_path": row.video_path,
        "caption": row.caption,
        "events": scenes,
        "video_split": {
            "split_caption": {"caption_part1": row.caption_part1, "caption_part2": row.caption_part2},
            "scenes_timestep": [
                {f"Scene {row.split_scene}": before},
                {f"Scene {len(row.events)}": {"start": row.cut, "end": row.duration}},
            ],
        },
        "ds_reasoning": {
            "rewritten_reasoning_content": row.reasoning,
            "rewritten_prediction_content": row.prediction,
        },
        "o3_critique": {"Critique": row.critique, "Conclusion": row.conclusion},
    }
    return published if row.hindsight is None else {**published, "hindsight_reasoning": row.hindsight}


def _numbered(row: AnnotatedVideo) -> enumerate:
    return enumerate(row.events, start=1)
