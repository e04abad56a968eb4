"""Which clips training needs: every video and view in the data sets that the experiments name."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from nep.errors import InputError
from nep.rows.base import read_rows
from nep.rows.dataset import DatasetRow, GrpoRow, read_sft


@dataclass(frozen=True, order=True)
class NeededClip:
    """A clip by its cache key "<video_id>/<view>"; `path` is relative to the run's folder."""

    key: str
    video_id: str
    view: str
    path: str


def needed_clips(files: Iterable[Path]) -> list[NeededClip]:
    """The clips of all rows of the data sets `files` (SFT: JSON, GRPO: JSON lines), each once, sorted by key.

    Raises InputError where a row does not fit, or two rows name different files for one video and view.
    """
    clips: dict[str, NeededClip] = {}
    for file, row in _rows(files):
        key = row.clip_key
        for clip in (NeededClip(key, row.video_id, row.view, path) for path in row.videos):
            if clips.setdefault(key, clip) != clip:
                raise InputError(f"{file}: {key} is {clip.path} in row {row.id!r}, but {clips[key].path} before")
    return sorted(clips.values())


def _rows(files: Iterable[Path]) -> Iterator[tuple[Path, DatasetRow]]:
    for file in sorted(files):
        rows = read_rows(GrpoRow, file) if file.suffix == ".jsonl" else read_sft(file)
        yield from ((file, row) for row in rows)
