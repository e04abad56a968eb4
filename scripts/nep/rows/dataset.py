"""The rows of data sets: what trainings and exports read."""

from pathlib import Path
from typing import Literal

from nep.files import read_list
from nep.rows.base import Row, SparseRow, rows_as

Part = Literal["train", "validation"]
View = Literal["first", "second", "full"]


class Message(Row):
    """One turn of a dialogue."""

    role: Literal["system", "user", "assistant"]
    content: str


class DatasetRow(SparseRow):
    """A row about one `view` of a video; `videos` are paths below the run's folder."""

    id: str
    video_id: str
    source: str
    view: View
    videos: tuple[str, ...]

    @property
    def clip_key(self) -> str:
        """Key of the clip in the vision cache."""
        return f"{self.video_id}/{self.view}"


class SftRow(DatasetRow):
    """A dialogue in ShareGPT form; `component` names the set that a row of a mixed set comes from."""

    messages: tuple[Message, ...]
    component: str | None = None

    @property
    def turns(self) -> list[dict[str, str]]:
        """The messages as chat templates take them."""
        return [message.model_dump() for message in self.messages]


class GrpoRow(DatasetRow):
    """A question to be answered with reasoning."""

    problem: str
    answer: str
    kind: str
    part: Part


def read_sft(path: Path) -> list[SftRow]:
    """The rows of an SFT file, which is a JSON list. Raises InputError for a row that does not fit."""
    return rows_as(SftRow, read_list(path), str(path))
