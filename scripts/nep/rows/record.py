"""Records: a video each, with its split time and annotations."""

from pathlib import PurePosixPath
from typing import Literal

from nep.rows.base import Row

CUT_FOLDER = "first_part_video"
VIDEO_FOLDERS = ("video_dataset", CUT_FOLDER)


class Event(Row):
    """What happens in one scene; scenes count from 1."""

    scene: int
    description: str


class QuestionAnswer(Row):
    """A question about the whole video, and its answer."""

    question: str
    answer: str


class Record(Row):
    """One video with its split time (seconds) and annotations; a text that the source lacks is None."""

    id: str
    video: str
    source: str
    split_time: float | None
    already_cut: bool
    split_scene: int | None = None
    caption: str | None = None
    caption_part1: str | None = None
    caption_part2: str | None = None
    events: tuple[Event, ...] = ()
    mc_qa: tuple[QuestionAnswer, ...] = ()
    oe_qa: tuple[QuestionAnswer, ...] = ()
    reasoning: str | None = None
    prediction: str | None = None
    critique: str | None = None
    conclusion: Literal["right", "wrong"] | None = None
    hindsight: str | None = None

    @property
    def whole_video(self) -> str:
        """What names the whole video, whether this record has all of it or its first part: source folder and stem."""
        path = PurePosixPath(self.video)
        below = path.parts[1:] if path.parts[0] in VIDEO_FOLDERS else path.parts
        return PurePosixPath(*below).with_suffix("").as_posix().casefold()
