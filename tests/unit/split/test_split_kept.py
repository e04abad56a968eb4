"""What a cut keeps besides the frames: colour metadata, pixel shape, rotation, and the sound if asked."""

from fractions import Fraction
from pathlib import Path

import av
import pytest
from support.readers import READERS
from support.splits import split

from nep.video.probe import decoded_frames
from nep.video.stream import open_video


def colours(path: Path) -> list[tuple]:
    """Of every frame: range, matrix, and of the stream: primaries, transfer, pixel shape."""
    with open_video(path) as (container, stream):
        found = []
        for frame in decoded_frames(container, stream):
            context = stream.codec_context
            of_stream = (context.color_primaries, context.color_trc, stream.sample_aspect_ratio)
            found.append((frame.color_range, frame.colorspace, *of_stream))
    return found


def sounds(path: Path) -> list[tuple[Fraction, Fraction, bytes]]:
    """Start and length in seconds, and content, of every audio packet."""
    with av.open(str(path)) as container:
        return [
            (packet.pts * packet.time_base, packet.duration * packet.time_base, bytes(packet))
            for packet in container.demux(container.streams.audio[0])
            if packet.size
        ]


@pytest.mark.parametrize(("name", "way"), [("bt709.mp4", "copy"), ("bt709_10.mp4", "encode")])
def test_colour_metadata(name: str, way: str, videos: dict[str, Path], tmp_path: Path) -> None:
    row = split(videos[name], 1.3, tmp_path)
    assert row["way"] == way
    (expected,) = set(colours(videos[name]))
    assert expected == (1, 1, 1, 1, Fraction(4, 3))
    for part in ("first", "second"):
        assert set(colours(tmp_path / row[part]["path"])) == {expected}


@pytest.mark.parametrize(("name", "start", "way"), [("with_audio.mp4", 0, "copy"), ("aac.mkv", 3, "encode")])
def test_sound_is_kept_if_asked(name: str, start: int, way: str, videos: dict[str, Path], tmp_path: Path) -> None:
    row = split(videos[name], 1.1, tmp_path, audio="keep")
    assert (row["way"], row["audio"]) == (way, "aac")
    heard = sounds(videos[name])
    for part, begin, end in (("first", 0, Fraction("1.1")), ("second", Fraction("1.1"), 99)):
        wanted = [
            (at - start - begin, content)
            for at, length, content in heard
            if at - start >= begin and at - start + length <= end
        ]
        found = sounds(tmp_path / row[part]["path"])
        assert len(wanted) > 30
        assert [content for _, _, content in found] == [content for _, content in wanted]
        early = wanted[0][0]
        assert found[0][0] == 0 <= early < found[0][1]
        assert [float(at) for at, _, _ in found] == pytest.approx([float(at - early) for at, _ in wanted], abs=0.001)


def test_pictures_are_the_same_with_sound(videos: dict[str, Path], tmp_path: Path) -> None:
    rows = [split(videos["with_audio.mp4"], 1.1, tmp_path / audio, audio=audio) for audio in ("drop", "keep")]
    for part in ("first", "second"):
        contents = []
        for row, audio in zip(rows, ("drop", "keep"), strict=True):
            with open_video(tmp_path / audio / row[part]["path"]) as (container, stream):
                packets = [packet for packet in container.demux(stream) if packet.size]
                contents.append([(packet.pts * packet.time_base, bytes(packet)) for packet in packets])
        assert contents[0] == contents[1]
        with_sound = tmp_path / "keep" / rows[1][part]["path"]
        assert {read(with_sound).count for read in READERS.values()} == {len(contents[0])}


def test_without_sound_there_is_none(videos: dict[str, Path], tmp_path: Path) -> None:
    assert split(videos["cfr.mp4"], 1.1, tmp_path, audio="keep")["audio"] is None


@pytest.mark.parametrize(("time", "starts"), [(1.1, (0.7, 0)), (0.5, (None, 0.2))])
def test_sound_that_starts_late_stays_late(
    time: float, starts: tuple[float | None, float], videos: dict[str, Path], tmp_path: Path
) -> None:
    row = split(videos["late_audio.mp4"], time, tmp_path, audio="keep")
    assert row["audio"] == "aac"
    for part, start in zip(("first", "second"), starts, strict=True):
        path = tmp_path / row[part]["path"]
        with av.open(str(path)) as container:
            assert bool(container.streams.audio) == (start is not None)
        if start is not None:
            heard = sounds(path)
            assert float(heard[0][0]) == pytest.approx(start, abs=0.03)
            assert float(heard[-1][0] + heard[-1][1]) == pytest.approx(row[part]["frames"] / 20, abs=0.05)
        assert {read(path).count for read in READERS.values()} == {row[part]["frames"]}
        assert {len(read(path).lumas) for read in READERS.values()} == {row[part]["frames"]}
