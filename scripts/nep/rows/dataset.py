"""The rows of data sets: what trainings and exports read.

A run holds hundreds of thousands of them at once: they are slotted dataclasses, which take a sixth of a model's memory.
"""

from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from nep.files import read_list
from nep.rows.base import adapter, rows_as

Part = Literal["train", "validation"]
View = Literal["first", "second", "full"]

_STRICT = ConfigDict(extra="forbid")


@dataclass(frozen=True, slots=True, kw_only=True, config=_STRICT)
class Message:
    """One turn of a dialogue."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True, kw_only=True, config=_STRICT)
class DatasetRow:
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

    def to_json(self) -> dict[str, Any]:
        """The row as it is written."""
        return adapter(type(self)).dump_python(self, mode="json")


@dataclass(frozen=True, slots=True, kw_only=True, config=_STRICT)
class SftRow(DatasetRow):
    """A dialogue in ShareGPT form; `component`, in a mixed set alone, names the set that the row comes from."""

    messages: tuple[Message, ...]
    component: str | None = Field(None, exclude_if=lambda name: name is None)

    @property
    def turns(self) -> list[dict[str, str]]:
        """The messages as chat templates take them."""
        return [{"role": message.role, "content": message.content} for message in self.messages]


@dataclass(frozen=True, slots=True, kw_only=True, config=_STRICT)
class GrpoRow(DatasetRow):
    """A question to be answered with reasoning; `events`: what happens next, in order, where the recipe asks for it."""

    problem: str
    answer: str
    kind: str
    part: Part
    events: tuple[str, ...] = Field((), exclude_if=lambda events: not events)


def read_sft(path: Path) -> list[SftRow]:
    """The rows of an SFT file, which is a JSON list. Raises InputError for a row that does not fit."""
    return rows_as(SftRow, read_list(path), str(path))
