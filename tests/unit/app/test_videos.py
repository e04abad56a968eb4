"""Uploads: what is taken, where it lies, what is refused."""

import io
from pathlib import Path

import pytest
from support.evaluation_run import write_clip

from nep.app import videos as module
from nep.app.videos import STRIP_FRAMES, Videos
from nep.errors import InputError


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """24 frames at 12 a second."""
    file = tmp_path_factory.mktemp("clip") / "clip.mp4"
    write_clip(file, 24)
    return file.read_bytes()


def receive(videos: Videos, body: bytes, name: str = "mine.mp4", length: int | None = None) -> module.ShownVideo:
    return videos.receive(name, io.BytesIO(body), len(body) if length is None else length)


def test_what_is_known_of_an_upload(tmp_path: Path, clip: bytes) -> None:
    videos = Videos(tmp_path)
    video = receive(videos, clip)
    facts = {"duration": 2.0, "fps": 12.0, "media_type": "video/mp4"}
    assert videos[video.key].to_json() == {"key": video.key, "name": "mine.mp4", **facts}
    assert video.file.read_bytes() == clip
    strip = video.strip()
    assert [picture.seconds for picture in strip] == [round((place + 0.5) / 8, 3) for place in range(STRIP_FRAMES)]
    assert all(picture.uri.startswith("data:image/jpeg;base64,") for picture in strip)
    assert video.pictures([0.0]) != video.pictures([1.9])


@pytest.mark.parametrize("name", ["../../evil.mp4", "/etc/passwd", "a/b\0c", "x" * 5000, ""])
def test_a_name_is_shown_and_is_no_path(tmp_path: Path, clip: bytes, name: str) -> None:
    video = receive(Videos(tmp_path / "uploads"), clip, name)
    assert video.file == tmp_path / "uploads" / video.key / "video"
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == [video.file]
    assert video.name == (name[:120] or "video")


def test_other_kinds_of_files_are_no_videos(tmp_path: Path, clip: bytes) -> None:
    """ffmpeg reads them all; lists name other files, which it would show."""
    (tmp_path / "secret.mp4").write_bytes(clip)
    y4m = "YUV4MPEG2 W2 H2 F1:1\n" + 2 * f"FRAME\n{6 * chr(0)}"
    for text in (y4m, "ffconcat version 1.0\nfile ../../secret.mp4\n", f"#EXTM3U\n#EXTINF:2,\n{tmp_path}/secret.mp4\n"):
        with pytest.raises(InputError, match=r"^mine\.mp4: no video file of a kind that is read"):
            receive(Videos(tmp_path / "uploads"), text.encode())


@pytest.mark.parametrize(
    ("body", "length", "said"),
    [(b"no film", None, "no video file of a kind that is read"), (b"half", 9, "5 bytes have not arrived")],
)
def test_what_cannot_be_read_leaves_nothing(tmp_path: Path, body: bytes, length: int | None, said: str) -> None:
    with pytest.raises(InputError, match=said):
        receive(Videos(tmp_path), body, length=length)
    assert list(tmp_path.iterdir()) == []


def test_the_oldest_uploads_are_deleted(tmp_path: Path, clip: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_UPLOADS", 2)
    videos = Videos(tmp_path)
    first, second, third = (receive(videos, clip) for _ in range(3))
    assert {folder.name for folder in tmp_path.iterdir()} == {second.key, third.key}
    with pytest.raises(KeyError):
        videos[first.key]
