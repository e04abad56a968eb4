"""Videos in a parquet file, as `datasets` loads them: a column of structs with each file's bytes and its path."""

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from nep.download.archive import DISK_RESERVE_BYTES, MAX_EXPANSION, MIN_ALLOWANCE_BYTES, Member
from nep.errors import InputError
from nep.files import confined
from nep.records.schema import check_video_path
from nep.rows.quarantine import Rejection

COLUMN = "video"
FEATURE = pa.struct({"bytes": pa.binary(), "path": pa.string()})


def extract_parquet(archive: Path, root: Path, work: Path) -> list[Member]:
    """Write the videos of the column `video` below `root`; the members, sorted by path.

    `work` (on the file system of `root`) holds the temporary file. One row group is in memory at a time. Raises
    InputError that names the file and the row for a column of another type, a row without bytes, a path that leaves the
    root or appears twice; for a total size that no archive of videos has; for a full disk; for a damaged file.
    """
    work.mkdir(parents=True, exist_ok=True)
    members: dict[str, Member] = {}
    try:
        with pq.ParquetFile(archive) as table:
            _check_form(archive, table)
            for number, path, content in _videos(archive, table):
                if path in members:
                    raise InputError(f"{archive}: row {number}: path {path!r} appears twice")
                _write(archive, path, content, root, work / "member.partial")
                members[path] = Member(path, len(content), hashlib.sha256(content).hexdigest())
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{archive}: truncated, damaged or unreadable parquet file ({error})") from None
    return [members[path] for path in sorted(members)]


def _check_form(archive: Path, table: pq.ParquetFile) -> None:
    names = table.schema_arrow.names
    if COLUMN not in names or table.schema_arrow.field(COLUMN).type != FEATURE:
        raise InputError(
            f"{archive}: a column {COLUMN!r} of {FEATURE} expected, as `datasets` keeps videos; "
            f"found the columns {', '.join(names)}"
        )
    total = sum(table.metadata.row_group(group).total_byte_size for group in range(table.num_row_groups))
    allowed = max(MIN_ALLOWANCE_BYTES, MAX_EXPANSION * archive.stat().st_size)
    if total > allowed:
        raise InputError(f"{archive}: unpacks to {total} bytes, more than the {allowed} that such a file may; refused")


def _videos(archive: Path, table: pq.ParquetFile) -> Iterator[tuple[int, str, bytes]]:
    """Number of the row, path and content of each video."""
    number = 0
    for group in range(table.num_row_groups):
        for video in table.read_row_group(group, columns=[COLUMN]).column(COLUMN):
            value = video.as_py() or {}
            try:
                path = check_video_path(value.get("path"))
            except Rejection as rejection:
                raise InputError(f"{archive}: row {number}: {rejection.detail}") from None
            if value["bytes"] is None:
                raise InputError(f"{archive}: row {number}: no bytes of {path!r}; the videos must be in the file")
            yield number, path, value["bytes"]
            number += 1


def _write(archive: Path, path: str, content: bytes, root: Path, temporary: Path) -> None:
    target = confined(root, path)
    free = shutil.disk_usage(temporary.parent).free
    if len(content) > free - DISK_RESERVE_BYTES:
        raise InputError(f"{archive}: {path!r} needs {len(content)} bytes, but the disk has only {free} left")
    temporary.write_bytes(content)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary.replace(target)
    except OSError as error:
        raise InputError(f"{archive}: {path!r} cannot be written to {target}: {error.strerror}") from None
