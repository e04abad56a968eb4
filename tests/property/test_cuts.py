"""Random cuts of every kind of video: each part holds exactly its pictures, in five readers."""

import math
import random
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from numbered import COPIED, KINDS, Kind, make, number_of
from numpy.typing import NDArray
from support.matrix import MATRIX
from support.readers import READERS, by_pyav
from support.splits import split

from mini_clips import CLIPS
from nep.video.probe import probe

# The first ones are near both ends.
CUTS_OF_A_KIND, SOME = 18, 5
CUTS_OF_A_CLIP = 3


def test_there_are_five_hundred_cuts() -> None:
    assert CUTS_OF_A_KIND * len(KINDS) + CUTS_OF_A_CLIP * len(CLIPS) >= 500
    assert {kind.name for kind in KINDS} > COPIED


@pytest.mark.parametrize("cuts", [SOME, pytest.param(CUTS_OF_A_KIND, marks=MATRIX)])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_cuts_of_a_kind(kind: Kind, cuts: int, tmp_path: Path) -> None:
    source = make(kind, tmp_path)
    pictures = by_pyav(source)
    numbers = [number_of(luma, turned=kind.rotated) for luma in pictures.lumas]
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
            check_part(tmp_path / row[part]["path"], wanted, [float(each - at[0]) for each in at], turned=kind.rotated)


def check_part(path: Path, numbers: list[int], times: list[float], *, turned: bool) -> None:
    for name, read in READERS.items():
        found = read(path)
        assert found.count == len(numbers), f"{name} announces {found.count} of {len(numbers)} pictures"
        assert [number_of(luma, turned=turned) for luma in found.lumas] == numbers, name
        if found.times is not None:
            assert found.times == pytest.approx(times, abs=1e-5), name


def random_times(times: list[Fraction], chance: random.Random, count: int) -> list[Fraction]:
    """Split times on pictures, between them, just after the first and up to the last; to six decimals."""
    near_ends = [times[1], times[-1], times[1] / 2, times[-1] - (times[-1] - times[-2]) / 2]
    on_pictures = [chance.choice(times[1:]) for _ in range(count)]
    between = [Fraction(chance.uniform(1e-3, float(times[-1]))) for _ in range(count)]
    drawn = [*near_ends, *(time for pair in zip(on_pictures, between, strict=True) for time in pair)][:count]
    return [min(Fraction(round(time * 10**6), 10**6), Fraction(int(times[-1] * 10**6), 10**6)) for time in drawn]


@pytest.mark.parametrize("cuts", [1, pytest.param(CUTS_OF_A_CLIP, marks=MATRIX)])
@pytest.mark.parametrize("name", [clip.name for clip in CLIPS])
def test_cuts_of_a_real_clip(name: str, cuts: int, mini: Path, tmp_path: Path) -> None:
    source = mini / name
    pictures = by_pyav(source).lumas
    described = probe(source)
    times = [(pts - described.pts[0]) * described.time_base for pts in described.pts]
    for time in random_times(times, random.Random(name), cuts):
        row = split(source, float(time), tmp_path, crf=18)
        assert row["status"] == "ok", row
        before = sum(at < Fraction(str(float(time))) for at in times)
        different = 0
        for part, wanted in (("first", pictures[:before]), ("second", pictures[before:])):
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
