"""Turned and mirrored videos look in every reader as ffmpeg shows their source, cut in either way."""

from pathlib import Path

import numpy as np
import pytest
from support.display_matrix import ORIENTATIONS, write_orientation
from support.readers import LUMA, READERS, by_ffmpeg
from support.splits import split

from nep.config.vision import Vision
from nep.dedup.frames import signature_of
from nep.encode.frames import decode_clip
from nep.model.resizing import WithinBudget
from nep.video.orientation import Orientation
from nep.video.tools import run_ffmpeg

SIZE = (128, 96)
# A mirrored frame differs from the right one by more than 30.
NEAR = 12


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("stored")
    made = {codec: folder / f"{codec}.mp4" for codec in ("libx264", "mpeg4")}
    for codec, path in made.items():
        frame = "testsrc=size=128x96:rate=10:duration=1.2"
        run_ffmpeg(["-v", "error", "-f", "lavfi", "-i", frame, "-c:v", codec, "-pix_fmt", "yuv420p", str(path)])
    return made


def name_of(orientation: Orientation) -> str:
    return "-".join(name for name, is_so in vars(orientation).items() if is_so) or "upright"


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
@pytest.mark.parametrize("orientation", ORIENTATIONS, ids=name_of)
def test_all_eight(orientation: Orientation, codec: str, stored: dict[str, Path], tmp_path: Path) -> None:
    source = tmp_path / "source.mp4"
    source.write_bytes(stored[codec].read_bytes())
    write_orientation(source, orientation, SIZE)
    shown = by_ffmpeg(source).lumas
    row = split(source, 0.6, tmp_path)
    assert row["way"] == ("copy" if codec == "libx264" and not orientation.is_mirrored else "encode"), row
    for name, read in READERS.items():
        found = read(tmp_path / row["second"]["path"]).lumas[0]
        assert found.shape == shown[6].shape, name
        assert np.abs(found.astype(float) - shown[6]).mean() < NEAR, name
    vision = Vision(frames=2, max_pixels=SIZE[0] * SIZE[1])
    first = decode_clip(source, vision, WithinBudget(4)).frames[0]
    assert first.shape[:2] == shown[0].shape
    assert np.abs(first @ LUMA - shown[0]).mean() < NEAR


def test_a_copy_that_is_stored_in_another_orientation_has_the_same_signature(
    stored: dict[str, Path], tmp_path: Path
) -> None:
    mirrored = Orientation(left_right=True)
    source = tmp_path / "source.mp4"
    source.write_bytes(stored["libx264"].read_bytes())
    write_orientation(source, mirrored, SIZE)
    row = split(source, None, tmp_path, already_cut=True)
    assert row["way"] == "encode"
    grids = [signature_of(path) for path in (source, tmp_path / row["first"]["path"])]
    for time, grid in grids[0].items():
        assert np.abs(grid.astype(float) - grids[1][time]).mean() < NEAR
