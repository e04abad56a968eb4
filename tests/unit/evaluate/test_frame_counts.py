"""Frames of a clip: all of them, and those that lmms-eval's wrappers can sample."""

from pathlib import Path

import pytest
from support.evaluation_run import write_clip

from nep.errors import InputError
from nep.evaluate.frame_counts import count_frames, sampled_frames


def test_frames_are_counted_up_to_a_limit(tmp_path: Path):
    write_clip(tmp_path / "x.mp4", 9)
    assert count_frames(tmp_path / "x.mp4") == (9, 12.0)
    assert count_frames(tmp_path / "x.mp4", 4) == (4, 12.0)


def test_wrappers_sample_an_even_number_of_frames_within_the_budget(tmp_path: Path):
    clips = {frames: tmp_path / f"{frames}.mp4" for frames in (1, 5, 8, 12)}
    for frames, path in clips.items():
        write_clip(path, frames)
    assert {frames: sampled_frames(path, 8) for frames, path in clips.items()} == {1: 2, 5: 4, 8: 8, 12: 8}


@pytest.mark.parametrize("content", [b"", b"not a video"])
def test_an_unreadable_video_is_refused(tmp_path: Path, content: bytes):
    path = tmp_path / "x.mp4"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"x\.mp4: not a readable video"):
        count_frames(path)
