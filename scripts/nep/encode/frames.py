"""The sampled frames of one clip, decoded with PyAV and resized, equal to the pixels of qwen_vl_utils with decord."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter
from numpy.typing import NDArray
from torchvision.transforms.functional import InterpolationMode, resize

from nep.config import Vision
from nep.encode.sampling import PixelBudget, frame_budget, resized_size, sampled_indices
from nep.records.quarantine import Reason, Rejection
from nep.video.probe import decoded_frames, decoding, open_video


@dataclass(frozen=True)
class ClipTask:
    """A clip to read: its cache key, its file, the frame and pixel budget, and patch size × merge size in pixels."""

    key: str
    path: Path
    vision: Vision
    factor: int


@dataclass(frozen=True)
class Clip:
    """Sampled frames: uint8 (T, H, W, 3) RGB, time stamps in seconds, indices into the source's `total` frames."""

    frames: NDArray[np.uint8]
    pts: tuple[float, ...]
    indices: tuple[int, ...]
    total: int
    source_fps: float


@dataclass(frozen=True)
class Unreadable:
    """Why a clip has no frames."""

    reason: Reason
    detail: str


def read_clip(task: ClipTask) -> Clip | Unreadable:
    """Read one clip in a worker process."""
    torch.set_num_threads(1)
    try:
        return decode_clip(task.path, task.vision, task.factor)
    except Rejection as rejection:
        return Unreadable(rejection.reason, rejection.detail)


def decode_clip(path: Path, vision: Vision, factor: int) -> Clip:
    """Decode and resize the sampled frames of a video.

    Raises Rejection: `undecodable_segment` for a file that is missing or cannot be read, `too_few_frames` for one of
    fewer than two frames.
    """
    if not path.is_file():
        raise Rejection(Reason.UNDECODABLE_SEGMENT, f"no file {path.name}")
    with decoding(Reason.UNDECODABLE_SEGMENT):
        announced = _count_packets(path)
        clip, decoded = _decode(path, announced, vision, factor)
        # Broken packets give no frame: sample again, of those that there are.
        if clip is None or decoded != announced:
            clip, decoded = _decode(path, decoded, vision, factor)
    if clip is None:
        raise Rejection(Reason.UNDECODABLE_SEGMENT, "the number of decoded frames changes from one pass to the next")
    return clip


def resize_frame(frame: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Resize an RGB frame (H, W, 3) uint8 to `size` = (height, width): bicubic with antialias, rounded to uint8."""
    tensor = torch.from_numpy(frame).permute(2, 0, 1)
    resized = resize(tensor, list(size), interpolation=InterpolationMode.BICUBIC, antialias=True)
    return resized.permute(1, 2, 0).contiguous().numpy()


def _count_packets(path: Path) -> int:
    with open_video(path) as (container, stream):
        return sum(packet.size > 0 for packet in container.demux(stream))


def _decode(path: Path, total: int, vision: Vision, factor: int) -> tuple[Clip | None, int]:
    """The clip sampled as one of `total` frames, None if a sampled frame is missing; and the number of frames found."""
    if total < 2:
        raise Rejection(Reason.TOO_FEW_FRAMES, f"{total} frames, at least 2 are needed")
    with open_video(path) as (container, stream):
        fps = float(stream.average_rate or stream.guessed_rate or 0)
        if not fps:
            raise ValueError("the stream has no frame rate")
        indices = sampled_indices(vision, total, fps)
        wanted = set(indices)
        convert = RgbConverter()
        frames: dict[int, NDArray[np.uint8]] = {}
        seconds: dict[int, float] = {}
        count = first = 0
        size: tuple[int, int] | None = None
        for index, frame in enumerate(decoded_frames(container, stream)):
            count = index + 1
            if frame.pts is None:
                raise ValueError(f"frame {index} has no time stamp")
            first = frame.pts if index == 0 else first
            if index in wanted:
                pixels = convert(frame)
                size = size or _size(pixels, vision, len(indices), factor)
                frames[index] = resize_frame(pixels, size)
                seconds[index] = float((frame.pts - first) * stream.time_base)
    if not wanted <= frames.keys():
        return None, count
    return _clip(indices, frames, seconds, count, fps), count


def _clip(
    indices: Sequence[int], frames: dict[int, NDArray[np.uint8]], seconds: dict[int, float], total: int, fps: float
) -> Clip:
    return Clip(
        frames=np.stack([frames[index] for index in indices]),
        pts=tuple(round(seconds[index], 6) for index in indices),
        indices=tuple(indices),
        total=total,
        source_fps=fps,
    )


def _size(pixels: NDArray[np.uint8], vision: Vision, count: int, factor: int) -> tuple[int, int]:
    budget: PixelBudget = frame_budget(vision, count, factor)
    return resized_size(pixels.shape[0], pixels.shape[1], factor, budget)


class RgbConverter:
    """Decoded frames of one video to upright uint8 RGB (H, W, 3), with the frame's own colour matrix and range."""

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()

    def __call__(self, frame: VideoFrame) -> NDArray[np.uint8]:
        """Convert one frame."""
        # PyAV applies the frame's matrix only if source and target differ; its default, BT.601, is then the target.
        rgb = self._reformatter.reformat(
            frame,
            format="rgb24",
            dst_colorspace=Colorspace.ITU601,
            src_color_range=ColorRange.JPEG if frame.color_range == ColorRange.JPEG else ColorRange.UNSPECIFIED,
        )
        return np.ascontiguousarray(np.rot90(rgb.to_ndarray(), k=frame.rotation // 90))
