"""Multiple-choice questions of the evaluation: as the records stage reads them, and as they are asked."""

from typing import Annotated, Literal

from pydantic import Field

from nep.rows.base import Row, SparseRow
from nep.rows.record import Event

LETTERS = ("A", "B", "C", "D")

Letter = Literal["A", "B", "C", "D"]
Kind = Literal["hop1", "hop2", "hop3", "interpolation"]
Level = Literal["l1", "l2", "l3"]
Options = Annotated[dict[Letter, str], Field(min_length=len(LETTERS))]


class Question(Row):
    """A multiple-choice question on a record's video; `options_inline`: the question's text holds its options."""

    id: str
    video_id: str
    kind: Kind
    question: str
    options: Options
    answer: Letter
    options_inline: bool


class SeedQuestion(Row):
    """A question on what is planned next; `video` (progress so far) and `image` (what is seen now) below the videos.

    `whole_videos`: names, as `Record.whole_video` has them, that a training record of the same video would have.
    """

    id: str
    video_id: str
    level: Level
    source: str
    question: str
    options: Options
    answer: Letter
    video: str | None
    image: str
    whole_videos: tuple[str, ...]


class VideoFacts(SparseRow):
    """What is known of a question's video beyond what is shown of it; of SeedBench-R1's the source alone."""

    source: str
    split_time: float | None = None
    caption: str | None = None
    caption_part1: str | None = None
    caption_part2: str | None = None
    events: tuple[Event, ...] = ()


class AskedQuestion(SparseRow):
    """A question with what is shown: `video` and `image` are paths below the run's folder."""

    id: str
    video_id: str
    kind: Kind | Level
    question: str
    options: Options
    answer: Letter
    options_inline: bool
    video: str | None
    image: str | None = None
    record: VideoFacts
