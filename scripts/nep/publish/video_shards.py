"""Videos as parquet files that `datasets` loads with its feature `Video`, and that the download stage extracts."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from nep.download.parquet_videos import COLUMN, FEATURE
from nep.errors import InputError
from nep.files import atomic_path, read_json, sha256_of_json, write_json

FOLDER, SPLIT = "videos", "whole"
PATTERN = f"{FOLDER}/*.parquet"
SHARD_BYTES, GROUP_BYTES = 500 << 20, 16 << 20
# An Arrow array of binary values holds one byte less.
LARGEST_VIDEO_BYTES = (1 << 31) - 1
_VALUES = {"path": "string", "video_id": "string", "source": "string", "split_time": "float64"}
_FEATURES = {**{name: {"dtype": kind, "_type": "Value"} for name, kind in _VALUES.items()}, COLUMN: {"_type": "Video"}}
SCHEMA = pa.schema(
    [
        *((name, pa.string() if kind == "string" else pa.float64()) for name, kind in _VALUES.items()),
        (COLUMN, FEATURE),
    ],
    metadata={"huggingface": json.dumps({"info": {"features": _FEATURES}})},
)


@dataclass(frozen=True)
class PublishedVideo:
    """One video: its path in the data set, its file and checksum, and what is known of it (`split_time` in seconds)."""

    path: str
    file: Path
    sha256: str
    video_id: str
    source: str
    split_time: float | None


def write_shards(videos: Iterable[PublishedVideo], folder: Path) -> dict[str, Path]:
    """Write the videos, by their paths, below `folder`; the files by their names in a repository.

    Files of the same videos that an earlier call has finished stay, so that a publication that was cut short is not
    prepared again. Raises InputError for a video that is too long for a cell of a table.
    """
    rows = sorted(videos, key=lambda video: video.path)
    note = folder / "videos.json"
    key = sha256_of_json([pa.__version__, SHARD_BYTES, GROUP_BYTES, [{**asdict(row), "file": None} for row in rows]])
    if not note.is_file() or read_json(note) != key:
        note.unlink(missing_ok=True)
        with atomic_path(folder / FOLDER) as out:
            out.mkdir()
            for number, shard in _batches(rows, SHARD_BYTES):
                _write_shard(list(shard), out / f"{SPLIT}-{number:05d}.parquet")
        write_json(note, key)
    return {f"{FOLDER}/{file.name}": file for file in sorted((folder / FOLDER).iterdir())}


def _write_shard(rows: list[PublishedVideo], target: Path) -> None:
    # Videos are compressed already.
    with pq.ParquetWriter(target, SCHEMA, compression={**dict.fromkeys(_VALUES, "snappy")}) as writer:
        for _, group in _batches(rows, GROUP_BYTES):
            writer.write_table(pa.Table.from_pylist([_row(video) for video in group], schema=SCHEMA))


def _row(video: PublishedVideo) -> dict[str, Any]:
    content = {"bytes": video.file.read_bytes(), "path": video.path}
    return {**{name: getattr(video, name) for name in _VALUES}, COLUMN: content}


def _batches(rows: list[PublishedVideo], size: int) -> Iterator[tuple[int, Iterator[PublishedVideo]]]:
    """The rows in batches that begin where another `size` bytes have passed, with each batch's number."""
    numbers, batch, held = [], 0, 0
    for row in rows:
        length = row.file.stat().st_size
        if length > LARGEST_VIDEO_BYTES:
            raise InputError(
                f"{row.file}: {length} bytes; a table of videos holds {LARGEST_VIDEO_BYTES} a video at most"
            )
        if held and held + length > size:
            batch, held = batch + 1, 0
        held += length
        numbers.append(batch)
    for number, pairs in groupby(zip(numbers, rows, strict=True), key=lambda pair: pair[0]):
        yield number, (row for _, row in pairs)
