"""Which clips training needs: those of the rows that the experiments' trainings take of their data sets."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nep.config.base import load_block
from nep.config.grpo import Grpo
from nep.config.sft import Sft
from nep.data.selection import Row, select_grpo, select_sft, select_sft_validation
from nep.errors import InputError
from nep.layout.datasets import dataset_file


@dataclass(frozen=True, order=True)
class NeededClip:
    """A clip by its cache key "<video_id>/<view>"; `path` is relative to the run's folder."""

    key: str
    video_id: str
    view: str
    path: str


@dataclass(frozen=True)
class Selection:
    """What a training takes of its data sets: its stage, and the keys of its block that decide it (`selection_of`)."""

    stage: str
    keys: dict[str, Any]

    def rows(self, convert: Path, seed: int) -> Iterator[tuple[Path, Row]]:
        """The rows, each with its file below RUN/convert: those to train on and those that are held out."""
        training = load_block(Sft if self.stage == "sft" else Grpo, self.keys)
        for name in training.datasets:
            file = {name: convert / dataset_file(self.stage, name)}
            if isinstance(training, Sft):
                found = [select_sft(file, training, seed), select_sft_validation(file, training.validation_samples, seed)]
            else:
                found = [select_grpo(file, training, seed)]
            yield from ((file[name], row) for part in found for rows in part.values() for row in rows)


def needed_clips(rows: Iterable[tuple[Path, Row]]) -> list[NeededClip]:
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
