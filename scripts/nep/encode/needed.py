"""Which clips training needs: every video and view in the data sets that the experiments name."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nep.errors import InputError
from nep.files import read_json, read_jsonl


@dataclass(frozen=True, order=True)
class NeededClip:
    """A clip by its cache key "<video_id>/<view>"; `path` is relative to the run's folder."""

    key: str
    video_id: str
    view: str
    path: str


def needed_clips(files: Iterable[Path]) -> list[NeededClip]:
    """The clips of all rows of the data sets `files` (SFT: JSON, GRPO: JSON lines), each once, sorted by key.

    Raises InputError where a row lacks a key, or two rows name different files for one video and view.
    """
    clips: dict[str, NeededClip] = {}
    for file, row in _rows(files):
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


def _rows(files: Iterable[Path]) -> Iterator[tuple[Path, dict[str, Any]]]:
    for file in sorted(files):
        yield from ((file, row) for row in (read_jsonl(file) if file.suffix == ".jsonl" else read_json(file)))
