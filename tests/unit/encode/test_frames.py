"""Cached pixels against those of qwen_vl_utils, which read the same file with decord."""

from pathlib import Path

import decord
import numpy as np
import pytest
import torch
from qwen_vl_utils import fetch_video
from torchvision.transforms import InterpolationMode
from torchvision.transforms.functional import resize

from nep.config.vision import Vision
from nep.encode.frames import ClipTask, Unreadable, decode_clip, read_clip
from nep.model.clip import Clip
from nep.model.frame_sampling import fps_count, uniform_count
from nep.model.resizing import WithinBudget, resize_frame
from nep.rows.quarantine import Reason, Rejection

READABLE = ["plain.mp4", "bt709.mp4", "full_range.mp4", "short.mp4"]


def reference(path: Path, vision: Vision) -> tuple[torch.Tensor, dict]:
    reader = decord.VideoReader(str(path), num_threads=1)
    total, fps = len(reader), reader.get_avg_fps()
    asked = {"video": str(path), "min_pixels": vision.min_pixels, "max_pixels": vision.max_pixels}
    if vision.sampling == "uniform":
        asked["nframes"] = uniform_count(vision.frames, total)
    else:
        asked |= {"fps": vision.fps, "max_frames": vision.frames}
        assert fps_count(vision.fps, vision.frames, total, fps) >= 2
    return fetch_video(asked, return_video_metadata=True)


@pytest.mark.parametrize("name", READABLE)
@pytest.mark.parametrize("vision", [Vision(frames=8), Vision(sampling="fps", fps=3, frames=6, max_pixels=50_000)])
def test_equal_to_qwen_vl_utils(name: str, vision: Vision, clips: dict[str, Path]) -> None:
    clip = decode_clip(clips[name], vision, WithinBudget(28))
    video, metadata = reference(clips[name], vision)
    expected = video.permute(0, 2, 3, 1).numpy()
    assert (list(clip.indices), clip.total) == (list(metadata["frames_indices"]), metadata["total_num_frames"])
    assert clip.source_fps == metadata["fps"]
    assert clip.frames.dtype == np.uint8
    assert clip.frames.shape == expected.shape
    assert np.abs(clip.frames - expected).max() == 0


def test_resize_of_one_frame_is_that_of_a_clip() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (3, 97, 61, 3), dtype=np.uint8)
    tensor = torch.from_numpy(frames).permute(0, 3, 1, 2)
    whole = resize(tensor, [56, 28], interpolation=InterpolationMode.BICUBIC, antialias=True).float()
    single = np.stack([resize_frame(frame, (56, 28)) for frame in frames])
    assert np.array_equal(whole.permute(0, 2, 3, 1).numpy(), single)


def test_time_stamps_are_those_of_the_frames(clips: dict[str, Path]) -> None:
    clip = decode_clip(clips["plain.mp4"], Vision(frames=4), WithinBudget(28))
    assert clip.pts == tuple(round(index / 12, 6) for index in clip.indices)


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", Reason.UNDECODABLE_SEGMENT), (b"no video\n" * 99, Reason.UNDECODABLE_SEGMENT)],
)
def test_unreadable(content: bytes, reason: Reason, tmp_path: Path) -> None:
    path = tmp_path / "x.mp4"
    path.write_bytes(content)
    with pytest.raises(Rejection) as caught:
        decode_clip(path, Vision(), WithinBudget(28))
    assert caught.value.reason == reason


def test_one_frame_is_too_few(clips: dict[str, Path]) -> None:
    outcome = read_clip(ClipTask("a/first", clips["single.mp4"], Vision(), WithinBudget(28)))
    assert outcome == Unreadable(Reason.TOO_FEW_FRAMES, "1 frames, at least 2 are needed")


def test_broken_packets_are_sampled_around(clips: dict[str, Path], tmp_path: Path) -> None:
    content = clips["plain.mp4"].read_bytes()
    path = tmp_path / "broken.mp4"
    middle = content.index(b"mdat") + 6000
    path.write_bytes(content[:middle] + bytes(1500) + content[middle + 1500 :])
    outcome = read_clip(ClipTask("a/first", path, Vision(frames=8), WithinBudget(28)))
    assert isinstance(outcome, Clip)
    assert len(outcome.frames) == 8
