"""What a video holds, read by decoding it once: the time stamp of every frame, sizes, rates."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from nep.rows.quarantine import Reason, Rejection
from nep.video.orientation import Orientation, orientation_of
from nep.video.stream import open_video
from nep.video.timeline import Timeline, best_effort, typical_step

# Containers whose header has a duration; for others, FFmpeg takes it from what is there.
_DECLARING = frozenset({"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "flv", "avi"})


@dataclass(frozen=True)
class Probe(Timeline):
    """A video's frames as PyAV decodes them, at ffmpeg's best-effort times where the file's do not ascend.

    `width` and `height` are those of the stored frames, before `orientation` is applied;
    `declared` is when the last stream ends in seconds, as the header says.
    """

    fps: Fraction
    width: int
    height: int
    orientation: Orientation
    declared: Fraction | None
    stream_index: int
    container: str
    codec: str
    pixel_format: str


@contextmanager
def decoding(reason: Reason) -> Iterator[None]:
    """Turn what PyAV raises on unreadable input into a Rejection with `reason`."""
    try:
        yield
    # Broken files also surface as ValueError: a missing stream, no frame rate, text that is not UTF-8.
    except (av.FFmpegError, ValueError) as error:
        text = getattr(error, "strerror", None) or str(error)
        raise Rejection(reason, f"{type(error).__name__}: {text}") from None


def frame_rate(stream: VideoStream) -> Fraction:
    """Frames a second as the container says, or as its first time stamps let guess. Raises ValueError without one."""
    fps = stream.average_rate or stream.guessed_rate
    if not fps:
        raise ValueError("the stream has no frame rate")
    return Fraction(fps)


def frame_step(stream: VideoStream) -> int:
    """Distance of frames at that rate, in the stream's units."""
    return max(1, round(1 / (frame_rate(stream) * stream.time_base)))


def declared_end(container: InputContainer) -> Fraction | None:
    """When the last of a container's streams ends, in seconds, as its header says."""
    declares = container.format.name in _DECLARING and container.duration
    return Fraction(container.duration, av.time_base) if declares else None


def decoded_frames(container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
    """Every frame that can be decoded, in the order of display; packets that cannot be are passed over."""
    for packet in container.demux(stream):
        try:
            frames = packet.decode()
        except av.FFmpegError:
            continue
        yield from frames


def probe(path: Path, unreadable: Reason = Reason.UNDECODABLE_VIDEO) -> Probe:
    """Decode the whole video and describe it.

    Raises Rejection with reason `empty_video` for a file of zero bytes, and with `unreadable` where nothing can be
    decoded.
    """
    if path.stat().st_size == 0:
        raise Rejection(Reason.EMPTY_VIDEO, "the file has zero bytes")
    with decoding(unreadable), open_video(path) as (container, stream):
        stamps: list[tuple[int | None, int | None]] = []
        last_duration, orientation = 0, Orientation()
        for frame in decoded_frames(container, stream):
            orientation = orientation if stamps else orientation_of(frame)
            stamps.append((frame.pts, frame.dts))
            last_duration = frame.duration
        if not stamps:
            raise Rejection(unreadable, "no frame can be decoded")
        pts = best_effort(stamps, last_duration or frame_step(stream))
        return Probe(
            pts=pts,
            # A clock that had to be mended has no durations either.
            last_duration=(last_duration if pts == tuple(stamp for stamp, _ in stamps) else 0) or typical_step(pts),
            time_base=stream.time_base,
            fps=frame_rate(stream),
            width=stream.codec_context.width,
            height=stream.codec_context.height,
            orientation=orientation,
            declared=declared_end(container),
            stream_index=stream.index,
            container=container.format.name,
            codec=stream.codec_context.name,
            pixel_format=stream.codec_context.pix_fmt or "",
        )
