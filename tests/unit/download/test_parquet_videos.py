"""Videos in a parquet file: extracted, or refused."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nep.download import parquet_videos
from nep.download.parquet_videos import FEATURE, extract_parquet
from nep.errors import InputError

VIDEO = b"\x00\x01moov" * 3000


def table(path: Path, *videos: Any, kind: pa.DataType = FEATURE, column: str = "video") -> Path:
    pq.write_table(pa.table({column: pa.array(videos, kind)}), path, row_group_size=1)
    return path


def row(path: str | None, content: bytes | None = VIDEO) -> dict[str, Any]:
    return {"bytes": content, "path": path}


def test_videos_come_out_with_path_size_and_content(tmp_path: Path) -> None:
    archive = table(tmp_path / "a.parquet", row("v/b.mp4"), row("./v/日 食.mp4", b"other"))
    members = extract_parquet(archive, tmp_path / "videos", tmp_path / "work")
    assert [(member.path, member.size) for member in members] == [("v/b.mp4", len(VIDEO)), ("v/日 食.mp4", 5)]
    assert (tmp_path / "videos/v/b.mp4").read_bytes() == VIDEO
    assert not list((tmp_path / "work").iterdir())


@pytest.mark.parametrize(
    ("videos", "words"),
    [
        ([row("../a.mp4")], r"row 0: .*leaves the video folder"),
        ([row("a.mp4"), row("/etc/a.mp4")], r"row 1: .*leaves the video folder"),
        ([row("a.mp4"), row("a.mp4")], r"row 1: path 'a\.mp4' appears twice"),
        ([row("a.mp4", None)], r"row 0: no bytes of 'a\.mp4'"),
        ([row(None)], r"row 0: video_path must be a path, found None"),
        ([None], r"row 0: video_path must be a path, found None"),
        ([row("a.mp4"), row("a.mp4/b.mp4")], r"'a\.mp4/b\.mp4' cannot be written"),
    ],
)
def test_unsafe_or_incomplete_rows_are_refused(tmp_path: Path, videos: list[Any], words: str) -> None:
    archive = table(tmp_path / "a.parquet", *videos)
    with pytest.raises(InputError, match=rf"a\.parquet: {words}"):
        extract_parquet(archive, tmp_path / "videos", tmp_path / "work")
    assert not list(tmp_path.glob("*.mp4"))


def test_other_columns_and_damaged_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a column 'video' of struct<.*> expected, .*; found the columns clip"):
        extract_parquet(table(tmp_path / "a.parquet", row("a.mp4"), column="clip"), tmp_path, tmp_path / "work")
    with pytest.raises(InputError, match="a column 'video' of struct"):
        extract_parquet(table(tmp_path / "a.parquet", "a.mp4", kind=pa.string()), tmp_path, tmp_path / "work")
    archive = table(tmp_path / "b.parquet", row("a.mp4"))
    archive.write_bytes(archive.read_bytes()[:-20])
    with pytest.raises(InputError, match=r"b\.parquet: truncated, damaged or unreadable"):
        extract_parquet(archive, tmp_path, tmp_path / "work")


def test_a_file_that_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_videos, "MIN_ALLOWANCE_BYTES", 1000)
    monkeypatch.setattr(parquet_videos, "MAX_EXPANSION", 2)
    archive = table(tmp_path / "a.parquet", row("a.mp4", bytes(500_000)))
    with pytest.raises(InputError, match=r"unpacks to \d+ bytes, more than the"):
        extract_parquet(archive, tmp_path / "videos", tmp_path / "work")
    assert not (tmp_path / "videos").exists()
