"""Rows of the split manifest: a video's two parts, or why it has none."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from nep.rows.base import Row, read_rows
from nep.rows.quarantine import Quarantined


class Segment(Row):
    """One part of a video: its file below the run's folder."""

    path: str
    frames: int
    sha256: str


class Cut(Row):
    """A video whose parts were made and verified; `second` is None where only its first part was published.

    Attributes:
        way, why: how the parts were made, and why not by copying packets.
        encoded_frames: of the `source_frames`, those that were encoded again.
        incomplete: what the source lacks of what it declares.
        split_pts: first time stamp of the second part, in units of `time_base` (seconds, a fraction).
        duration: of the source, in seconds.
    """

    id: str
    status: Literal["ok"] = "ok"
    way: Literal["copy", "encode"]
    why: str | None
    encoded_frames: int
    incomplete: str | None
    time_base: str
    fps: float
    width: int
    height: int
    source_frames: int
    duration: float
    split_pts: int | None
    audio: str | None
    first: Segment
    second: Segment | None

    @property
    def segments(self) -> list[Segment]:
        """The parts that it has."""
        return [self.first] if self.second is None else [self.first, self.second]


class LostVideo(Quarantined):
    """A video that cannot be used."""

    status: Literal["quarantined"] = "quarantined"


SplitRow = Annotated[Cut | LostVideo, Field(discriminator="status")]


def read_split(path: Path) -> list[Cut | LostVideo]:
    """Read a split manifest."""
    return read_rows(SplitRow, path)


def cuts_by_id(rows: list[Cut | LostVideo]) -> dict[str, Cut]:
    """The videos that were cut."""
    return {row.id: row for row in rows if isinstance(row, Cut)}


def lost_videos(rows: list[Cut | LostVideo]) -> list[LostVideo]:
    """The videos that were not."""
    return [row for row in rows if isinstance(row, LostVideo)]
