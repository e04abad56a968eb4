import gzip
import io
import tarfile
from pathlib import Path

import pytest

from nep.download import archive as archive_module
from nep.download.archive import extract_archive
from nep.errors import InputError

VIDEO = b"\x00\x01moov" * 5000
OTHER = b"other content" * 3000


def member(name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE, link: str = "") -> tuple:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname, entry.size = kind, link, len(content)
    return entry, content


def make_archive(path: Path, *members: tuple, mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as tar:
        for entry, content in members:
            tar.addfile(entry, io.BytesIO(content))
    return path


def extract(archive: Path, tmp_path: Path) -> list:
    return extract_archive(archive, tmp_path / "videos", tmp_path / "work")


def test_members_come_out_with_path_size_and_content(tmp_path: Path) -> None:
    archive = make_archive(
        tmp_path / "a.tar.gz",
        member("video_dataset", kind=tarfile.DIRTYPE),
        member("./video_dataset/youtube/日食 it's\u00a0\u200d.mp4", VIDEO),
        member("video_dataset/empty.mp4"),
    )
    members = extract(archive, tmp_path)
    assert [(item.path, item.size) for item in members] == [
        ("video_dataset/empty.mp4", 0),
        ("video_dataset/youtube/日食 it's\u00a0\u200d.mp4", len(VIDEO)),
    ]
    assert (tmp_path / "videos" / members[1].path).read_bytes() == VIDEO
    assert [path.name for path in (tmp_path / "work").iterdir()] == ["members.jsonl"]


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_compressions(tmp_path: Path, mode: str) -> None:
    assert extract(make_archive(tmp_path / "a.tar", member("v/a.mp4", VIDEO), mode=mode), tmp_path)[0].size == len(
        VIDEO
    )


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (member("../escape.mp4", VIDEO), "leaves the extraction root"),
        (member("video_dataset/../../escape.mp4", VIDEO), "leaves the extraction root"),
        (member("/tmp/escape.mp4", VIDEO), "leaves the extraction root"),
        (member("link.mp4", kind=tarfile.SYMTYPE, link="/etc/passwd"), "is a link to '/etc/passwd'"),
        (
            member("hard.mp4", kind=tarfile.LNKTYPE, link="/etc/passwd"),
            "hard link to '/etc/passwd', which is no file of",
        ),
        (member("hard.mp4", kind=tarfile.LNKTYPE, link="../secret.mp4"), "is no file of this archive before it"),
        (member("hard.mp4", kind=tarfile.LNKTYPE, link="hard.mp4"), "is no file of this archive before it"),
        (member("../hard.mp4", kind=tarfile.LNKTYPE, link="video_dataset/ok.mp4"), "leaves the extraction root"),
        (member("pipe.mp4", kind=tarfile.FIFOTYPE), "neither a plain file nor a folder"),
        (member("device.mp4", kind=tarfile.CHRTYPE), "neither a plain file nor a folder"),
        (member("disk.mp4", kind=tarfile.BLKTYPE), "neither a plain file nor a folder"),
        (member("latin-\udce9.mp4", VIDEO), "UTF-8"),
        (member(".", VIDEO), "needs a name"),
        (member("video_dataset/ok.mp4", OTHER), "appears twice"),
        (member("video_dataset/ok.mp4/below.mp4", OTHER), "cannot be written"),
        (member("v/" + "x" * 300 + ".mp4", VIDEO), "cannot be written"),
    ],
    ids=lambda value: value if isinstance(value, str) else value[0].name[:20].encode("ascii", "replace").decode(),
)
def test_unsafe_member_is_refused_and_named(tmp_path: Path, bad: tuple, words: str) -> None:
    archive = make_archive(tmp_path / "a.tar.gz", member("video_dataset/ok.mp4", VIDEO), bad)
    with pytest.raises(InputError, match=words) as caught:
        extract(archive, tmp_path)
    assert str(archive) in str(caught.value) and repr(bad[0].name) in str(caught.value)
    files = {path.relative_to(tmp_path / "videos").as_posix() for path in (tmp_path / "videos").rglob("*.mp4")}
    assert files == {"video_dataset/ok.mp4"}
    assert not list(tmp_path.rglob("escape.mp4")) and not Path("/tmp/escape.mp4").exists()


def test_a_second_name_of_a_file_is_that_file(tmp_path: Path) -> None:
    long = "v/" + "x" * 251 + ".mp4"
    archive = make_archive(
        tmp_path / "a.tar.gz",
        member("v/a.mp4", VIDEO),
        member("./v/b.mp4", kind=tarfile.LNKTYPE, link="./v/a.mp4"),
        member(long, kind=tarfile.LNKTYPE, link="v/b.mp4"),
    )
    members = extract(archive, tmp_path)
    assert [(item.path, item.size) for item in members] == [(name, len(VIDEO)) for name in ("v/a.mp4", "v/b.mp4", long)]
    assert len({item.sha256 for item in members}) == 1
    assert all((tmp_path / "videos" / item.path).read_bytes() == VIDEO for item in members)
    (tmp_path / "videos/v/b.mp4").unlink()
    assert extract(archive, tmp_path) == members
    assert (tmp_path / "videos/v/b.mp4").read_bytes() == VIDEO
    assert not [path for path in (tmp_path / "videos").rglob("*") if path.name.startswith(".")]


def test_a_link_already_in_the_tree_is_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "video_dataset").symlink_to(outside)
    with pytest.raises(InputError, match="leaves its root"):
        extract(make_archive(tmp_path / "a.tar.gz", member("video_dataset/a.mp4", VIDEO)), tmp_path)
    assert not list(outside.iterdir())


@pytest.mark.parametrize("mode", ["w:gz", "w"])
@pytest.mark.parametrize("keep", [0.0, 0.05, 0.3, 0.5, 0.9, 0.999])
def test_truncated_archive_is_named(tmp_path: Path, mode: str, keep: float) -> None:
    content = [bytes((index * 7 + step) % 251 for step in range(9000)) for index in range(3)]
    whole = make_archive(tmp_path / "whole.tar", *[member(f"v/{i}.mp4", c) for i, c in enumerate(content)], mode=mode)
    # tar pads its end with blocks of zeros, which may be missing: cut within what carries content.
    carrying = whole.stat().st_size if mode == "w:gz" else 3 * (512 + 9216) + 512
    cut = tmp_path / "cut.tar"
    cut.write_bytes(whole.read_bytes()[: int(carrying * keep)])
    with pytest.raises(InputError, match=r"cut\.tar: truncated or damaged archive"):
        extract(cut, tmp_path)
    for path in (tmp_path / "videos").rglob("*.mp4"):
        assert path.read_bytes() == content[int(path.stem)]


def test_damaged_header_in_the_middle_is_not_taken_for_the_end(tmp_path: Path) -> None:
    whole = make_archive(tmp_path / "a.tar", member("v/0.mp4", VIDEO), member("v/1.mp4", VIDEO), mode="w")
    content = bytearray(whole.read_bytes())
    second = content.index(b"v/1.mp4")
    content[second : second + 512] = b"?" * 512
    whole.write_bytes(content)
    with pytest.raises(InputError, match="no end-of-archive mark"):
        extract(whole, tmp_path)


def test_wrong_stream_checksum_is_seen(tmp_path: Path) -> None:
    archive = make_archive(tmp_path / "a.tar.gz", member("v/a.mp4", VIDEO))
    content = bytearray(archive.read_bytes())
    content[-6] ^= 0xFF
    archive.write_bytes(content)
    with pytest.raises(InputError, match="truncated or damaged"):
        extract(archive, tmp_path)


def test_size_bomb_is_refused_before_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_module, "MIN_ALLOWANCE_BYTES", 1 << 20)
    archive = make_archive(tmp_path / "a.tar.gz", member("v/ok.mp4", VIDEO), member("v/bomb.mp4", bytes(8 << 20)))
    with pytest.raises(InputError, match=r"'v/bomb\.mp4' brings the unpacked total"):
        extract(archive, tmp_path)
    assert not (tmp_path / "videos/v/bomb.mp4").exists()


def test_member_larger_than_the_disk_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_module, "DISK_RESERVE_BYTES", 1 << 62)
    with pytest.raises(InputError, match=r"'v/a\.mp4' needs 30000 bytes, but the disk has only"):
        extract(make_archive(tmp_path / "a.tar.gz", member("v/a.mp4", VIDEO)), tmp_path)


def test_interrupted_extraction_goes_on_where_it_stopped(tmp_path: Path) -> None:
    whole = make_archive(tmp_path / "a.tar.gz", *[member(f"v/{i}.mp4", VIDEO + bytes([i])) for i in range(4)])
    plain = gzip.decompress(whole.read_bytes())
    cut = tmp_path / "cut.tar.gz"
    cut.write_bytes(gzip.compress(plain[: len(plain) // 2]))
    with pytest.raises(InputError, match="truncated"):
        extract(cut, tmp_path)
    first = tmp_path / "videos/v/0.mp4"
    before = first.stat().st_ino
    journal = tmp_path / "work/members.jsonl"
    journal.write_text(journal.read_text() + '{"path": "v/3.m')  # a kill in the middle of a write
    resumed = extract(whole, tmp_path)
    assert first.stat().st_ino == before, "a finished member was written again"
    fresh = extract_archive(whole, tmp_path / "fresh", tmp_path / "fresh-work")
    assert resumed == fresh
    for item in fresh:
        assert (tmp_path / "videos" / item.path).read_bytes() == (tmp_path / "fresh" / item.path).read_bytes()


def test_a_member_lost_after_the_interruption_is_extracted_again(tmp_path: Path) -> None:
    archive = make_archive(tmp_path / "a.tar.gz", member("v/a.mp4", VIDEO))
    members = extract(archive, tmp_path)
    (tmp_path / "videos/v/a.mp4").write_bytes(b"short")
    assert extract(archive, tmp_path) == members
    assert (tmp_path / "videos/v/a.mp4").read_bytes() == VIDEO
