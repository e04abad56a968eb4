"""Zip archives from elsewhere: extracted below one folder or refused with the member's name."""

import stat
import zipfile
from pathlib import Path

import pytest

from nep.download.zipped import extract_zip
from nep.errors import InputError


def archive(path: Path, members: dict[str, bytes], kind: int = stat.S_IFREG) -> Path:
    with zipfile.ZipFile(path, "w") as opened:
        for name, content in members.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = (kind | 0o644) << 16
            opened.writestr(entry, content)
    return path


def test_members_are_extracted_with_their_folders_and_what_is_there_is_kept(tmp_path: Path) -> None:
    packed = archive(tmp_path / "videos.zip", {"data/a.mp4": b"one", "b.mp4": b"four"})
    assert extract_zip(packed, tmp_path / "out", tmp_path / "work") == ["b.mp4", "data/a.mp4"]
    assert (tmp_path / "out/data/a.mp4").read_bytes() == b"one"
    (tmp_path / "out/b.mp4").write_bytes(b"kept")
    (tmp_path / "out/data/a.mp4").write_bytes(b"torn off")
    extract_zip(packed, tmp_path / "out", tmp_path / "work")
    assert (tmp_path / "out/b.mp4").read_bytes() == b"kept", "of the right size"
    assert (tmp_path / "out/data/a.mp4").read_bytes() == b"one"


@pytest.mark.parametrize("name", ["../outside.mp4", "/outside.mp4", "a/../../outside.mp4", "..\\outside.mp4"])
def test_a_member_that_leaves_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    packed = archive(tmp_path / "bad.zip", {"good.mp4": b"", name: b"x"})
    with pytest.raises(InputError, match=r"bad\.zip: member .*outside\.mp4.* leaves the extraction root"):
        extract_zip(packed, tmp_path / "out", tmp_path / "work")
    assert not (tmp_path / "outside.mp4").exists() and not (tmp_path / "out").exists()


def test_a_link_is_refused(tmp_path: Path) -> None:
    packed = archive(tmp_path / "bad.zip", {"link.mp4": b"/etc/passwd"}, stat.S_IFLNK)
    with pytest.raises(InputError, match=r"member 'link\.mp4' is no plain file"):
        extract_zip(packed, tmp_path / "out", tmp_path / "work")


def test_a_member_that_appears_twice_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as opened:
        opened.writestr("a.mp4", b"one")
        with pytest.warns(UserWarning, match="Duplicate name"):
            opened.writestr("a.mp4", b"two")
    with pytest.raises(InputError, match=r"member 'a\.mp4' appears twice"):
        extract_zip(tmp_path / "bad.zip", tmp_path / "out", tmp_path / "work")


def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nep.download.zipped.MIN_ALLOWANCE_BYTES", 1000)
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("zeros.mp4", bytes(10_000_000))
    with pytest.raises(InputError, match=r"member 'zeros\.mp4' brings the unpacked total to 10000000 bytes"):
        extract_zip(tmp_path / "bomb.zip", tmp_path / "out", tmp_path / "work")


def test_a_damaged_archive_is_named_and_leaves_no_member(tmp_path: Path) -> None:
    packed = archive(tmp_path / "bad.zip", {"a.mp4": b"content of a video"})
    content = packed.read_bytes()
    packed.write_bytes(content.replace(b"content of a video", b"content of another"))
    with pytest.raises(InputError, match=r"bad\.zip: truncated or damaged archive"):
        extract_zip(packed, tmp_path / "out", tmp_path / "work")
    assert not list((tmp_path / "out").rglob("*.mp4"))
    packed.write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=r"bad\.zip: truncated or damaged archive"):
        extract_zip(packed, tmp_path / "out", tmp_path / "work")
