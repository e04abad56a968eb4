"""Random cuts of every kind of video: each part holds exactly its frames, in five readers."""

import math
import random
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numbered import COPIED, KINDS, Kind, make, number_of
from numpy.typing import NDArray
from support.matrix import MATRIX
from support.readers import READERS, by_pyav
from support.splits import split

from mini_clips import CLIPS
from nep.video.orientation import Orientation
from nep.video.probe import probe
from nep.video.tools import run_ffmpeg

# The first ones are near both ends.
CUTS_OF_A_KIND, SOME = 18, 3
CUTS_OF_A_CLIP = 3


def test_there_are_five_hundred_cuts() -> None:
    assert CUTS_OF_A_KIND * len(KINDS) + CUTS_OF_A_CLIP * len(CLIPS) >= 500
    assert {kind.name for kind in KINDS} > COPIED


@pytest.mark.parametrize("cuts", [SOME, pytest.param(CUTS_OF_A_KIND, marks=MATRIX)])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_cuts_of_a_kind(kind: Kind, cuts: int, tmp_path: Path) -> None:
    source = make(kind, tmp_path)
    frames = by_pyav(source)
    numbers = [number_of(luma, kind.orientation) for luma in frames.lumas]
    assert numbers == sorted(set(numbers))
    described = probe(source)
    times = [(pts - described.pts[0]) * described.time_base for pts in described.pts]
    for time in random_times(times, random.Random(kind.name), cuts):
        row = split(source, float(time), tmp_path)
        assert row["status"] == "ok", row
        assert row["way"] == ("copy" if kind.name in COPIED else "encode"), row
        before = sum(at < Fraction(str(float(time))) for at in times)
        for part, wanted, at in (
            ("first", numbers[:before], times[:before]),
            ("second", numbers[before:], times[before:]),
        ):
            check_part(tmp_path / row[part]["path"], wanted, [float(each - at[0]) for each in at], kind.orientation)


def check_part(path: Path, numbers: list[int], times: list[float], orientation: Orientation) -> None:
    for name, read in READERS.items():
        found = read(path)
        assert found.count == len(numbers), f"{name} announces {found.count} of {len(numbers)} frames"
        assert [number_of(luma, orientation) for luma in found.lumas] == numbers, name
        if found.times is not None:
            assert found.times == pytest.approx(times, abs=1e-5), name


def random_times(times: list[Fraction], chance: random.Random, count: int) -> list[Fraction]:
    """Split times on frames, between them, just after the first and up to the last; to six decimals."""
    near_ends = [times[1], times[-1], times[1] / 2, times[-1] - (times[-1] - times[-2]) / 2]
    on_frames = [chance.choice(times[1:]) for _ in range(count)]
    between = [Fraction(chance.uniform(1e-3, float(times[-1]))) for _ in range(count)]
    drawn = [*near_ends, *(time for pair in zip(on_frames, between, strict=True) for time in pair)][:count]
    return [min(Fraction(round(time * 10**6), 10**6), Fraction(int(times[-1] * 10**6), 10**6)) for time in drawn]


@pytest.mark.parametrize(
    "name", ["b_frames.mp4", "late.mkv", "b_frames.avi", "program.mpg", "flash.flv", "transport.ts"]
)
def test_truncated_files_lose_their_end_alone(name: str, tmp_path: Path) -> None:
    whole = make(next(kind for kind in KINDS if kind.name == name), tmp_path).read_bytes()
    source, chance = tmp_path / f"cut-{name}", random.Random(name)
    for _ in range(6):
        kept = chance.randrange(len(whole) // 2, len(whole))
        source.write_bytes(whole[:kept] + chance.choice([b"", bytes(len(whole) - kept)]))
        row = split(source, chance.choice([0.3, 0.9]), tmp_path)
        if row["status"] != "ok":
            assert row["reason"] in ("undecodable_video", "split_outside_video"), row
            continue
        wanted = [number_of(luma) for luma in by_pyav(source).lumas]
        parts = [
            [number_of(luma) for luma in by_pyav(tmp_path / row[part]["path"]).lumas] for part in ("first", "second")
        ]
        assert parts[0] + parts[1] == wanted
        assert len(parts[0]) == row["first"]["frames"]


@pytest.mark.parametrize("late", [0.0, 0.31, 0.7, 1.9])
def test_sound_stays_where_it_was(late: float, tmp_path: Path) -> None:
    silent = make(next(kind for kind in KINDS if kind.name == "b_frames.mp4"), tmp_path)
    source, chance = tmp_path / "sounding.mkv", random.Random(late)
    sine = ["-itsoffset", str(late), "-f", "lavfi", "-i", f"sine=duration={3 - late}"]
    run_ffmpeg(["-v", "error", "-i", str(silent), *sine, "-c:v", "copy", "-c:a", "aac", "-shortest", str(source)])
    for _ in range(6):
        time = round(chance.uniform(0.2, 2.8), 3)
        row = split(source, time, tmp_path, audio="keep")
        assert row["status"] == "ok", row
        begin, frames = 0.0, 0
        for part in ("first", "second"):
            path = tmp_path / row[part]["path"]
            with av.open(str(path)) as container:
                tracks = container.streams.audio
                packets = container.demux(tracks) if tracks else ()
                starts = [float(packet.pts * packet.time_base) for packet in packets if packet.size]
            length = row[part]["frames"] / 24
            assert bool(starts) or late > begin + length - 0.1
            assert not starts or starts[0] == pytest.approx(max(0, late - begin), abs=0.05)
            assert [number_of(luma) for luma in by_pyav(path).lumas] == [*range(frames, frames + row[part]["frames"])]
            begin, frames = begin + length, frames + row[part]["frames"]


@pytest.mark.parametrize(
    ("name", "cuts"),
    [
        *((clip.name, 1) for clip in CLIPS[len(CLIPS) // 2 :]),
        *(pytest.param(clip.name, CUTS_OF_A_CLIP, marks=MATRIX) for clip in CLIPS),
    ],
)
def test_cuts_of_a_real_clip(name: str, cuts: int, mini: Path, tmp_path: Path) -> None:
    source = mini / name
    frames = by_pyav(source).lumas
    described = probe(source)
    times = [(pts - described.pts[0]) * described.time_base for pts in described.pts]
    for time in random_times(times, random.Random(name), cuts):
        row = split(source, float(time), tmp_path, crf=18)
        assert row["status"] == "ok", row
        before = sum(at < Fraction(str(float(time))) for at in times)
        different = 0
        for part, wanted in (("first", frames[:before]), ("second", frames[before:])):
            path = tmp_path / row[part]["path"]
            for reader, read in READERS.items():
                found = read(path)
                assert found.count == len(found.lumas) == len(wanted), reader
                looked_at = range(0, len(wanted), 10) if reader != "PyAV" else range(len(wanted))
                assert all(psnr(found.lumas[index], wanted[index]) > 25 for index in looked_at), reader
                if reader == "PyAV":
                    different += sum(not np.array_equal(*pair) for pair in zip(found.lumas, wanted, strict=True))
        assert different <= row["encoded_frames"]


def psnr(left: NDArray[np.uint8], right: NDArray[np.uint8]) -> float:
    """Peak signal-to-noise ratio in dB of what both have in common: an odd edge is cropped by an encode."""
    height, width = (min(sizes) for sizes in zip(left.shape, right.shape, strict=True))
    error = left[:height, :width].astype(np.float32) - right[:height, :width]
    return 10 * math.log10(255**2 / max(float((error**2).mean()), 1e-9))
