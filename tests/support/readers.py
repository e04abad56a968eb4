"""Every frame of a video as five readers give it: luma (H, W) uint8, upright, and its time in seconds."""

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import decord
import numpy as np
from numpy.typing import NDArray
from torchcodec.decoders import VideoDecoder

from nep.video.orientation import orientation_of
from nep.video.probe import decoded_frames
from nep.video.stream import open_video
from nep.video.tools import find_ffmpeg

LUMA = np.array([0.299, 0.587, 0.114])


@dataclass(frozen=True)
class Frames:
    """What a reader gives: `count` as it announces it, all frames, their times (None where it tells none)."""

    count: int
    lumas: list[NDArray[np.uint8]]
    times: list[float] | None


def by_pyav(path: Path) -> Frames:
    """PyAV, frame after frame."""
    with open_video(path) as (container, stream):
        frames = [
            (float(frame.pts * stream.time_base), orientation_of(frame).upright(frame.to_ndarray(format="gray")))
            for frame in decoded_frames(container, stream)
        ]
        count = stream.frames or len(frames)
    return Frames(count, [luma for _, luma in frames], [time for time, _ in frames])


def by_decord(path: Path) -> Frames:
    """decord, all frames at once."""
    reader = decord.VideoReader(str(path), num_threads=1)
    count = len(reader)
    frames = reader.get_batch(range(count)).asnumpy()
    times = reader.get_frame_timestamp(range(count))[:, 0].tolist()
    return Frames(count, [_luma(frame) for frame in frames], times)


def by_torchcodec(path: Path) -> Frames:
    """torchcodec, frames by index."""
    decoder = VideoDecoder(str(path), num_ffmpeg_threads=1)
    count = len(decoder)
    batch = decoder.get_frames_in_range(0, count)
    frames = batch.data.permute(0, 2, 3, 1).numpy()
    return Frames(count, [_luma(frame) for frame in frames], batch.pts_seconds.tolist())


def by_opencv(path: Path) -> Frames:
    """OpenCV with its FFmpeg backend, read until it ends."""
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    lumas = []
    while True:
        read, frame = capture.read()
        if not read:
            break
        lumas.append(_luma(frame[..., ::-1]))
    capture.release()
    return Frames(count, lumas, None)


def by_ffmpeg(path: Path) -> Frames:
    """The ffmpeg program, every frame once."""
    height, width = _upright_size(path)
    command = [find_ffmpeg(), "-v", "error", "-i", str(path), "-fps_mode", "passthrough", "-pix_fmt", "gray"]
    raw = subprocess.run([*command, "-f", "rawvideo", "pipe:1"], capture_output=True, check=True, timeout=120).stdout
    lumas = list(np.frombuffer(raw, dtype=np.uint8).reshape(-1, height, width))
    return Frames(len(lumas), lumas, None)


READERS: dict[str, Callable[[Path], Frames]] = {
    "PyAV": by_pyav,
    "decord": by_decord,
    "torchcodec": by_torchcodec,
    "OpenCV": by_opencv,
    "ffmpeg": by_ffmpeg,
}


def _luma(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return (rgb @ LUMA).round().astype(np.uint8)


def _upright_size(path: Path) -> tuple[int, int]:
    """(height, width)."""
    with open_video(path) as (container, stream):
        frame = next(decoded_frames(container, stream))
        return orientation_of(frame).upright(np.empty((frame.height, frame.width))).shape
