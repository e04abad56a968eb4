"""The clips that rows of the data sets show."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nep.errors import InputError


@dataclass(frozen=True, order=True)
class NeededClip:
    """A clip by its cache key "<video_id>/<view>"; `path` is relative to the run's folder."""

    key: str
    video_id: str
    view: str
    path: str


def needed_clips(rows: Iterable[tuple[Path, dict[str, Any]]]) -> list[NeededClip]:
    """The clips of rows, each of which comes with its file; each clip once, sorted by key.

    Raises InputError where a row lacks a key, or two rows name different files for one video and view.
    """
    clips: dict[str, NeededClip] = {}
    for file, row in rows:
        try:
            paths = row["videos"]
            key = f"{row['video_id']}/{row['view']}"
            found = [NeededClip(key, row["video_id"], row["view"], path) for path in paths]
        except KeyError as error:
            raise InputError(f"{file}: row {row.get('id')!r} has no key {error}") from None
        for clip in found:
            if clips.setdefault(key, clip) != clip:
                raise InputError(f"{file}: {key} is {clip.path} in row {row.get('id')!r}, but {clips[key].path} before")
    return sorted(clips.values())
