"""The length of a video and the moments at which a new shot begins, from one pass over its frames."""

import math
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray
from scenedetect import AdaptiveDetector, FrameTimecode

from nep.rows.quarantine import Reason, Rejection
from nep.video.orientation import orientation_of
from nep.video.probe import decoded_frames, decoding, frame_rate, frame_step
from nep.video.stream import open_video
from nep.video.timeline import Timeline, best_effort, typical_step

# PySceneDetect's own width of the images that it compares.
WIDTH = 256
# Decimals of a boundary in seconds: it is rounded down, so that a cut there finds the very frame (`cut_pts`).
DECIMALS = 6


@dataclass(frozen=True)
class Looked:
    """A video as shown: number of frames, seconds, frames a second, pixels, and where its shots begin in seconds."""

    frames: int
    duration: float
    fps: float
    width: int
    height: int
    boundaries: tuple[float, ...]


def look_through(path: Path, threshold: float, min_shot_s: float) -> Looked:
    """Decode a whole video; shots by PySceneDetect's adaptive detector, on the frames of our own reader.

    `threshold`: ratio of a frame's change to that of the frames around it. Raises Rejection: empty_video,
    undecodable_video.
    """
    if path.stat().st_size == 0:
        raise Rejection(Reason.EMPTY_VIDEO, "the file has zero bytes")
    with decoding(Reason.UNDECODABLE_VIDEO), open_video(path) as (container, stream):
        fps = frame_rate(stream)
        detector = AdaptiveDetector(adaptive_threshold=threshold, min_scene_len=max(1, round(min_shot_s * fps)))
        reformatter = VideoReformatter()
        stamps: list[tuple[int | None, int | None]] = []
        begins: list[int] = []
        shape, last_duration = (0, 0), 0
        for number, frame in enumerate(decoded_frames(container, stream)):
            shape = shape if stamps else _shown_shape(frame)
            stamps.append((frame.pts, frame.dts))
            last_duration = frame.duration
            cuts = detector.process_frame(FrameTimecode(number, fps), _small(frame, reformatter))
            begins += [cut.frame_num for cut in cuts]
        if not stamps:
            raise Rejection(Reason.UNDECODABLE_VIDEO, "no frame can be decoded")
        pts = best_effort(stamps, last_duration or frame_step(stream))
        timeline = Timeline(pts, last_duration or typical_step(pts), stream.time_base)
    height, width = shape
    return Looked(
        frames=len(pts),
        duration=_floor(timeline.duration),
        fps=float(fps),
        width=width,
        height=height,
        boundaries=tuple(_floor((pts[begin] - pts[0]) * timeline.time_base) for begin in begins),
    )


def _small(frame: VideoFrame, reformatter: VideoReformatter) -> NDArray[np.uint8]:
    """BGR uint8 of WIDTH columns at most; how the frame is turned does not matter to a comparison with the next one."""
    width = min(WIDTH, frame.width)
    height = max(1, round(frame.height * width / frame.width))
    small = reformatter.reformat(frame, width=width, height=height, format="bgr24", interpolation=Interpolation.AREA)
    return small.to_ndarray()


def _shown_shape(frame: VideoFrame) -> tuple[int, int]:
    """Rows and columns as shown."""
    rows, columns = orientation_of(frame).upright(np.empty((frame.height, frame.width, 0))).shape[:2]
    return rows, columns


def _floor(seconds: Fraction) -> float:
    return math.floor(seconds * 10**DECIMALS) / 10**DECIMALS
