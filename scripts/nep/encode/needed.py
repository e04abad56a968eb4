"""The clips that rows of the data sets show."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from nep.errors import InputError
from nep.rows.dataset import DatasetRow


@dataclass(frozen=True, order=True)
class NeededClip:
    """A clip by its cache key "<video_id>/<view>"; `path` is relative to the run's folder."""

    key: str
    video_id: str
    view: str
    path: str


def needed_clips(rows: Iterable[tuple[Path, DatasetRow]]) -> list[NeededClip]:
    """The clips of rows, each of which comes with its file; each clip once, sorted by key.

    Raises InputError where two rows name different files for one video and view.
    """
    clips: dict[str, NeededClip] = {}
    for file, row in rows:
        key = row.clip_key
        for clip in (NeededClip(key, row.video_id, row.view, path) for path in row.videos):
            if clips.setdefault(key, clip) != clip:
                raise InputError(f"{file}: {key} is {clip.path} in row {row.id!r}, but {clips[key].path} before")
    return sorted(clips.values())
