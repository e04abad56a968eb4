"""Each part holds exactly the frames on its side of the split, in order, for generated and for real files."""

import math
import random
import re
from fractions import Fraction
from pathlib import Path

import av
import decord
import numpy as np
import pytest
from support.splits import split

from mini_clips import CLIPS, MiniClip
from nep.files import sha256_of_file
from nep.video.orientation import Orientation, orientation_of
from nep.video.probe import decoded_frames, probe
from nep.video.stream import open_video
from nep.video.tools import run_ffmpeg

GENERATED = [
    *("cfr.mp4", "b_frames.mp4", "ntsc.mkv", "vfr.mkv", "odd.mp4"),
    *("late_start.ts", "mpeg4.avi", "rotated.mp4", "with_audio.mp4"),
]


def frames_of(path: Path) -> list[tuple[Fraction, np.ndarray]]:
    """Time in seconds and luma plane (H, W) of every frame, by PyAV."""
    with open_video(path) as (container, stream):
        return [
            (frame.pts * stream.time_base, orientation_of(frame).upright(frame.to_ndarray(format="gray")))
            for frame in decoded_frames(container, stream)
        ]


def psnr(left: np.ndarray, right: np.ndarray) -> float:
    height, width = (min(a, b) for a, b in zip(left.shape, right.shape, strict=True))
    difference = left[:height, :width].astype(np.float32) - right[:height, :width]
    return 10 * math.log10(255**2 / max(float((difference**2).mean()), 1e-9))


def count_from_ends(index: int, frames: list) -> int:
    return min(index, len(frames) - 1 - index)


def check_parts(source: Path, time: float, row: dict, run: Path) -> None:
    wanted = frames_of(source)
    start = wanted[0][0]
    count = sum(stamp - start < Fraction(str(time)) for stamp, _ in wanted)
    sides = {"first": wanted[:count], "second": wanted[count:]}
    for name, expected in sides.items():
        part = run / row[name]["path"]
        found = frames_of(part)
        assert row[name]["frames"] == len(found) == len(expected)
        assert row[name]["sha256"] == sha256_of_file(part)
        assert [stamp for stamp, _ in found] == [stamp - expected[0][0] for stamp, _ in expected]
        looked_at = [index for index in range(len(expected)) if index % 25 == 0 or count_from_ends(index, expected) < 4]
        assert min(psnr(found[index][1], expected[index][1]) for index in looked_at) > 28
        reader = decord.VideoReader(str(part), num_threads=1)
        assert len(reader) == len(expected)
        for index, frame in zip(looked_at, reader.get_batch(looked_at).asnumpy(), strict=True):
            luma = frame @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
            assert psnr(luma, expected[index][1]) > 22
    last, first = frames_of(run / row["first"]["path"])[-1][1], frames_of(run / row["second"]["path"])[0][1]
    here, there = sides["first"][-1][1], sides["second"][0][1]
    if psnr(here, there) < 40:
        assert psnr(last, here) > psnr(last, there)
        assert psnr(first, there) > psnr(first, here)


@pytest.mark.parametrize("name", GENERATED)
def test_random_cuts(name: str, videos: dict[str, Path], tmp_path: Path) -> None:
    described = probe(videos[name])
    chance = random.Random(name)
    between = [float((pts - described.pts[0]) * described.time_base) for pts in described.pts]
    on_frames = [round(chance.choice(between[1:]), 6) for _ in range(2)]
    anywhere = [round(chance.uniform(0.01, between[-1]), 3) for _ in range(2)]
    for time in [*on_frames, *anywhere]:
        row = split(videos[name], time, tmp_path)
        assert row["status"] == "ok", row
        check_parts(videos[name], time, row, tmp_path)


@pytest.mark.parametrize("clip", CLIPS, ids=lambda clip: clip.name)
def test_real_clips(clip: MiniClip, mini: Path, tmp_path: Path) -> None:
    source = mini / clip.name
    row = split(source, clip.split_s, tmp_path, crf=18)
    assert row["status"] == "ok", row
    assert row["source_frames"] == row["first"]["frames"] + row["second"]["frames"]
    check_parts(source, clip.split_s, row, tmp_path)


def without_display_times(source: Path, path: Path) -> Path:
    """The same packets where their times of display are lost: in AVI, bare, or in an MP4 that has decoding times."""
    if path.suffix != ".mp4":
        run_ffmpeg(["-v", "error", "-i", str(source), "-c", "copy", str(path)])
        return path
    with av.open(str(source)) as container, av.open(str(path), "w") as written:
        stream = container.streams.video[0]
        copied = written.add_stream_from_template(stream)
        packets = [packet for packet in container.demux(stream) if packet.size]
        start = packets[0].dts
        for packet in packets:
            packet.stream = copied
            packet.pts = packet.dts = packet.dts - start
            written.mux(packet)
    return path


@pytest.mark.parametrize("name", ["copied.avi", "copied.h264", "copied.mp4"])
def test_times_that_a_demuxer_makes_up_are_not_trusted(name: str, videos: dict[str, Path], tmp_path: Path) -> None:
    source = without_display_times(videos["b_frames.mp4"], tmp_path / name)
    for time in (0.04, 0.5, 0.9, 1.0, 2.95):
        row = split(source, time, tmp_path)
        assert (row["status"], row["way"], row["source_frames"]) == ("ok", "encode", 72), row
        check_parts(videos["b_frames.mp4"], time, row, tmp_path)


def test_joined_broadcasts_are_cut_in_their_order(videos: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "joined.ts"
    path.write_bytes(videos["late_start.ts"].read_bytes() * 2)
    row = split(path, 3.0, tmp_path)
    assert (row["status"], row["first"]["frames"], row["second"]["frames"]) == ("ok", 75, 25), row
    once = frames_of(videos["late_start.ts"])
    for (_, found), (_, wanted) in zip(frames_of(tmp_path / row["second"]["path"]), once[25:], strict=True):
        assert psnr(found, wanted) > 28


def test_parts_are_what_every_reader_takes(videos: dict[str, Path], tmp_path: Path) -> None:
    for name in ("odd.mp4", "rotated.mp4", "with_audio.mp4"):
        row = split(videos[name], 1.0, tmp_path)
        with av.open(str(tmp_path / row["first"]["path"])) as container:
            (stream,) = container.streams
            assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
            assert stream.width % 2 == stream.height % 2 == 0
            assert (stream.width, stream.height) == (row["width"], row["height"])
    assert (row["width"], row["height"]) == (64, 48)
    assert split(videos["odd.mp4"], 1.0, tmp_path)["width"] == 66
    turned = split(videos["rotated.mp4"], 1.0, tmp_path)
    assert (turned["way"], turned["width"], turned["height"]) == ("copy", 128, 96)
    shown = [probe(path).orientation for path in (tmp_path / turned["first"]["path"], videos["rotated.mp4"])]
    assert shown == [Orientation(transposed=True, left_right=True)] * 2


def test_split_on_a_frame_puts_it_into_the_second_part(videos: dict[str, Path], tmp_path: Path) -> None:
    assert split(videos["cfr.mp4"], 1.0, tmp_path)["first"]["frames"] == 30
    assert split(videos["cfr.mp4"], 1.001, tmp_path)["first"]["frames"] == 31


@pytest.mark.parametrize("time", [0.0, -1.0, 3.0, 99.0, 2.99])
def test_split_outside_the_video(time: float, videos: dict[str, Path], tmp_path: Path) -> None:
    row = split(videos["cfr.mp4"], time, tmp_path)
    assert (row["status"], row["reason"]) == ("quarantined", "split_outside_video")
    assert f"split at {time:g} s" in row["detail"]
    assert "duration 3.000 s" in row["detail"]


@pytest.mark.parametrize("name", ["b_frames.mp4", "vfr.mkv", "with_audio.mp4", "rotated.mp4"])
def test_already_cut_is_copied(name: str, videos: dict[str, Path], tmp_path: Path) -> None:
    row = split(videos[name], None, tmp_path, already_cut=True)
    assert (row["way"], row["encoded_frames"], row["second"], row["split_pts"]) == ("copy", 0, None, None)
    wanted, found = frames_of(videos[name]), frames_of(tmp_path / row["first"]["path"])
    assert [stamp for stamp, _ in found] == [stamp - wanted[0][0] for stamp, _ in wanted]
    assert all(np.array_equal(got, want) for (_, got), (_, want) in zip(found, wanted, strict=True))
    with av.open(str(tmp_path / row["first"]["path"])) as container:
        assert len(container.streams) == 1


@pytest.mark.parametrize("name", ["mpeg4.avi", "odd.mp4", "late_start.ts"])
def test_already_cut_in_another_form_is_encoded(name: str, videos: dict[str, Path], tmp_path: Path) -> None:
    row = split(videos[name], None, tmp_path, already_cut=True)
    assert (row["status"], row["way"], row["second"]) == ("ok", "encode", None)
    wanted, found = frames_of(videos[name]), frames_of(tmp_path / row["first"]["path"])
    assert [stamp for stamp, _ in found] == [stamp - wanted[0][0] for stamp, _ in wanted]
    assert min(psnr(got, want) for (_, got), (_, want) in zip(found, wanted, strict=True)) > 28


def test_equal_bytes_each_time(videos: dict[str, Path], tmp_path: Path) -> None:
    rows = [split(videos["vfr.mkv"], 1.3, tmp_path / str(number)) for number in range(2)]
    assert rows[0] == rows[1]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("empty.mp4", b"", "empty_video"),
        ("text.mp4", b"this is a text, not a video\n" * 50, "undecodable_video"),
        ("list.mp4", b"ffconcat version 1.0\nfile cfr.mp4\n", "undecodable_video"),
    ],
)
def test_not_a_video(name: str, content: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    row = split(path, 1.0, tmp_path)
    assert (row["status"], row["reason"]) == ("quarantined", reason)
    assert row["detail"]
    assert str(tmp_path) not in row["detail"]


def test_truncated_without_index_is_undecodable(videos: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "truncated.mp4"
    path.write_bytes(videos["b_frames.mp4"].read_bytes()[:2000])
    assert split(path, 1.0, tmp_path)["reason"] == "undecodable_video"


@pytest.mark.parametrize(
    ("name", "lacks"),
    [
        ("ntsc.mkv", "ends at .* s of 2.002 s"),
        ("b_frames.mp4", "ends at .* s of 3.000 s"),
        ("with_audio.mp4", ".. of 40 frames decode"),
    ],
)
def test_truncated_download_is_noted_or_left_out(
    name: str, lacks: str, videos: dict[str, Path], tmp_path: Path
) -> None:
    assert split(videos[name], 0.5, tmp_path)["incomplete"] is None
    path = tmp_path / name
    if name.endswith(".mp4"):
        run_ffmpeg(["-v", "error", "-i", str(videos[name]), "-c", "copy", "-movflags", "+faststart", str(path)])
    content = (path if path.exists() else videos[name]).read_bytes()
    kept = len(content) * 7 // 10
    path.write_bytes(content[:kept] + (bytes(len(content) - kept) if name == "with_audio.mp4" else b""))
    row = split(path, 0.5, tmp_path)
    assert row["status"] == "ok", row
    assert re.fullmatch(lacks, row["incomplete"])
    row = split(path, 0.5, tmp_path, incomplete="quarantine")
    assert (row["reason"], bool(re.fullmatch(lacks, row["detail"]))) == ("incomplete_video", True)


def test_the_default_stream_is_cut(videos: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "two.mkv"
    both = ["-i", str(videos["cfr.mp4"]), "-i", str(videos["bt709.mp4"]), "-map", "0:v", "-map", "1:v", "-c", "copy"]
    run_ffmpeg(["-v", "error", *both, "-disposition:v:0", "0", "-disposition:v:1", "default", str(path)])
    row = split(path, 0.5, tmp_path)
    assert (row["status"], row["source_frames"]) == ("ok", 40)


def test_truncated_stream_is_cut_as_far_as_it_decodes(videos: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "truncated.ts"
    content = videos["late_start.ts"].read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])
    row = split(path, 0.5, tmp_path)
    assert row["status"] == "ok", row
    assert row["source_frames"] < 50
    check_parts(path, 0.5, row, tmp_path)
