"""Rows of the encode stage: the clips of the vision cache."""

from pathlib import Path
from typing import Literal

from nep.files import read_json
from nep.rows.base import Row, rows_as
from nep.rows.quarantine import Quarantined

# Of a file of tensors. One entry: the order of several in a safetensors header changes from one run to the next.
METADATA_KEY = "nep"


class EncodedClip(Row):
    """A clip in the cache: what was read of it, and what stands for it in a prompt (`nep.model.family.Placeholder`).

    `frames` of `height` × `width` pixels, shown at `pts` (seconds); `fps` is the source's; `shard` names the file;
    `sha256` is of the frames' bytes, `features` the features' dtype, None where only frames are kept.
    """

    key: str
    video_id: str
    view: str
    shard: str
    frames: int
    height: int
    width: int
    pts: tuple[float, ...]
    fps: float
    modality: Literal["video", "image"]
    placeholder: tuple[tuple[str, int], ...]
    grid: tuple[int, int, int] | None
    second_per_grid: float | None
    sha256: str
    features: str | None


class CacheFile(Row):
    """A file of tensors below the run's folder."""

    path: str
    sha256: str


class EncodedShard(Row):
    """Manifest of a shard; `model` is the fingerprint of the checkpoint, `features` None where only frames are kept."""

    shard: str
    model: str
    clips: tuple[EncodedClip, ...]
    quarantined: tuple[Quarantined, ...]
    frames: CacheFile
    features: CacheFile | None

    @property
    def files(self) -> list[CacheFile]:
        """The files of tensors."""
        return [self.frames] if self.features is None else [self.frames, self.features]


def read_shard(path: Path) -> EncodedShard:
    """Read the manifest of a shard. Raises InputError where it is none."""
    (shard,) = rows_as(EncodedShard, [read_json(path)], str(path))
    return shard
