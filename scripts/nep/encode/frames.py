"""The sampled frames of one clip, decoded with PyAV and resized, equal to the pixels of qwen_vl_utils with decord."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from nep.config.vision import Vision
from nep.model.clip import Clip
from nep.model.frame_sampling import sampled_indices
from nep.model.resizing import Resizing
from nep.rows.quarantine import Reason, Rejection
from nep.video.frame_selection import index_pictures, selected_frames
from nep.video.h264_headers import IrregularStreamError
from nep.video.packets import video_packets
from nep.video.probe import decoded_frames, decoding, frame_rate, frame_step
from nep.video.rgb import RgbConverter
from nep.video.stream import open_video
from nep.video.timeline import best_effort


@dataclass(frozen=True)
class ClipTask:
    """A clip to read: its cache key, its file, the frame and pixel budget, and how its frames are resized."""

    key: str
    path: Path
    vision: Vision
    resizing: Resizing


@dataclass(frozen=True)
class Unreadable:
    """Why a clip has no frames."""

    reason: Reason
    detail: str


def read_clip(task: ClipTask) -> Clip | Unreadable:
    """Read one clip in a worker process."""
    torch.set_num_threads(1)
    try:
        return decode_clip(task.path, task.vision, task.resizing)
    except Rejection as rejection:
        return Unreadable(rejection.reason, rejection.detail)


def decode_clip(path: Path, vision: Vision, resizing: Resizing) -> Clip:
    """Decode and resize the sampled frames of a video.

    Raises Rejection: `undecodable_segment` for a file that is missing or cannot be read, `too_few_frames` for one of
    fewer than two frames.
    """
    if not path.is_file():
        raise Rejection(Reason.UNDECODABLE_SEGMENT, f"no file {path.name}")
    with decoding(Reason.UNDECODABLE_SEGMENT):
        try:
            return _decode_selected(path, vision, resizing)
        except IrregularStreamError:
            return _decode_all(path, vision, resizing)


class _Sampled:
    """The sampled frames of a clip of `total` frames, as they come."""

    def __init__(self, stream: VideoStream, total: int, vision: Vision, resizing: Resizing) -> None:
        if total < 2:
            raise Rejection(Reason.TOO_FEW_FRAMES, f"{total} frames, at least 2 are needed")
        self._fps = float(frame_rate(stream))
        self._total = total
        self._vision = vision
        self._resizing = resizing
        self._convert = RgbConverter()
        self._frames: dict[int, NDArray[np.uint8]] = {}
        self.indices = sampled_indices(vision, total, self._fps)

    def add(self, index: int, frame: VideoFrame) -> None:
        """Convert and resize frame number `index`."""
        pixels = self._convert(frame)
        self._frames[index] = self._resizing(pixels, self._vision, len(self.indices))

    def clip(self, pts: Sequence[int], time_base: Fraction) -> Clip | None:
        """The clip, its frames shown at `pts`; None while a frame is missing."""
        if not self._frames.keys() >= set(self.indices):
            return None
        return Clip(
            frames=np.stack([self._frames[index] for index in self.indices]),
            pts=tuple(round(float((pts[index] - pts[0]) * time_base), 6) for index in self.indices),
            indices=tuple(self.indices),
            total=self._total,
            source_fps=self._fps,
        )


def _decode_selected(path: Path, vision: Vision, resizing: Resizing) -> Clip:
    """Decode only what the sampled frames need. Raises IrregularStreamError where that is not known to be exact."""
    with open_video(path) as (container, stream):
        index = index_pictures(container, stream)
    with open_video(path) as (container, stream):
        sampled = _Sampled(stream, len(index.shown), vision, resizing)
        for place, frame in selected_frames(container, stream, index, sampled.indices):
            sampled.add(place, frame)
        clip = sampled.clip([index.pts[number] for number in index.shown], stream.time_base)
    if clip is None:
        raise IrregularStreamError("a sampled frame is not decoded")
    return clip


def _decode_all(path: Path, vision: Vision, resizing: Resizing) -> Clip:
    """Decode every frame; where packets give no frame, sample again, of those that there are."""
    with open_video(path) as (container, stream):
        announced = sum(1 for _ in video_packets(container, stream))
    clip, decoded = _decode_as(path, announced, vision, resizing)
    if clip is None or decoded != announced:
        clip, decoded = _decode_as(path, decoded, vision, resizing)
    if clip is None:
        raise Rejection(Reason.UNDECODABLE_SEGMENT, "the number of decoded frames changes from one pass to the next")
    return clip


def _decode_as(path: Path, total: int, vision: Vision, resizing: Resizing) -> tuple[Clip | None, int]:
    """The clip sampled as one of `total` frames, None if a sampled frame is missing; and the number of frames found."""
    with open_video(path) as (container, stream):
        sampled = _Sampled(stream, total, vision, resizing)
        wanted = set(sampled.indices)
        stamps: list[tuple[int | None, int | None]] = []
        duration = 0
        for index, frame in enumerate(decoded_frames(container, stream)):
            stamps.append((frame.pts, frame.dts))
            duration = frame.duration
            if index in wanted:
                sampled.add(index, frame)
        pts = best_effort(stamps, duration or frame_step(stream))
        return sampled.clip(pts, stream.time_base), len(pts)
