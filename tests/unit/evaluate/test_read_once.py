"""A clip is decoded once for all questions about it."""

import random
from pathlib import Path

import pytest
import torch
from qwen_vl_utils import vision_process

from nep.config.demo_videos import DemoVideos
from nep.demo.hub_layout import DemoVideo, encode_video
from nep.demo.world import draw_scenario
from nep.evaluate.read_once import RecentClips

BUDGET = {"nframes": 4, "min_pixels": 3136, "max_pixels": 3136}
OPTIONS = {"return_video_sample_fps": True, "return_video_metadata": True}


@pytest.fixture
def clip(tmp_path: Path) -> dict:
    spec = DemoVideos(size=56, fps=8)
    path = tmp_path / "clip.mp4"
    path.write_bytes(encode_video(DemoVideo(0, draw_scenario(random.Random(0))), spec))
    return {"type": "video", "video": str(path), **BUDGET}


class Counted:
    """The library's reader, which counts its calls."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, *arguments, **options):
        self.calls += 1
        return vision_process.fetch_video(*arguments, **options)


def test_a_clip_is_read_once_and_given_as_the_library_gives_it(clip: dict) -> None:
    counted = Counted()
    read = RecentClips(counted)
    ((expected, metadata), rate) = vision_process.fetch_video(clip, **OPTIONS)
    for _ in range(3):
        ((frames, found), own_rate) = read(dict(clip), **OPTIONS)
        assert torch.equal(frames, expected)
        assert own_rate == rate
        assert found.keys() == metadata.keys()
        # What a processor writes to the metadata stays with that question.
        found.clear()
    assert counted.calls == 1
    assert read({**clip, "nframes": 2}, **OPTIONS)[0][0].shape[0] == 2
    assert counted.calls == 2


def test_the_oldest_clips_go_where_the_frames_would_take_too_much(clip: dict) -> None:
    counted = Counted()
    one = 4 * 3 * 56 * 56 * 4
    read = RecentClips(counted, limit=2 * one)
    budgets = [{**clip, "max_pixels": 3136 + extra} for extra in range(3)]
    for asked in (*budgets, budgets[2], budgets[1], budgets[0]):
        read(asked, **OPTIONS)
    assert counted.calls == 4
