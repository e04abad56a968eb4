"""Control videos: first parts of the evaluation questions with their frames shuffled, or one frame repeated.

A model that answers them as well as the real ones answers from the text or from single frames.
"""

import random
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

import av
import numpy as np
from av.codec.context import Flags
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace
from av.video.stream import VideoStream

from nep.config.questions import VideoControl
from nep.errors import InputError
from nep.evaluate.questions import first_part_paths, read_questions
from nep.files import atomic_path, read_json, sha256_of_file, sha256_of_json, write_json
from nep.jobs.workers import Failure, run_items
from nep.video.orientation import orientation_of
from nep.video.probe import decoded_frames
from nep.video.stream import open_video

PIXEL_FORMAT = "yuv420p"
# One thread, and a preset without the macroblock tree: with it x264 165 reads memory that it has not written, so that a
# process which encodes several clips gives other bytes from run to run (seen on two of eight real clips).
ENCODER = {"crf": "18", "preset": "ultrafast", "threads": "1"}
TIMEOUT_S = 1800


@dataclass(frozen=True)
class ControlTask:
    """One control video to make. `row_file` keeps what was made, so that an interrupted run goes on."""

    video_id: str
    source: Path
    control: VideoControl
    seed: int
    target: Path
    row_file: Path


class Clip(NamedTuple):
    """A decoded clip: its time stamps in `time_base` units and its size; the frames lie in a file."""

    pts: list[int]
    width: int
    height: int


def make_controls(questions: Path, control: VideoControl, seed: int, run_dir: Path, processes: int, out: Path) -> None:
    """Make the control video of every question's video, and the manifest `{video_id: {"path", "sha256"}}` at `out`.

    Videos go to RUN/evaluate/controls/<control>/<video_id>.mp4; paths in the manifest are relative to RUN. Raises
    InputError, and writes no manifest, if one of them cannot be made.
    """
    sources = first_part_paths(read_questions(questions, limit=None), run_dir)
    folder = run_dir / "evaluate" / "controls" / control
    work = run_dir / "work" / "controls" / sha256_of_json([control, seed, ENCODER])[:16]
    tasks = [
        ControlTask(video_id, source, control, seed, folder / f"{video_id}.mp4", work / f"{video_id}.json")
        for video_id, source in sorted(sources.items())
    ]
    manifest = {}
    outcomes = run_items(make_control, tasks, processes=processes, timeout_s=TIMEOUT_S, label=f"controls {control}")
    for task, outcome in outcomes:
        if isinstance(outcome, Failure):
            raise InputError(f"{task.source}: no {control} video of it can be made: {outcome.detail}")
        path = task.target.resolve().relative_to(run_dir.resolve()).as_posix()
        manifest[task.video_id] = {"path": path, "sha256": outcome}
    write_json(out, manifest)


def make_control(task: ControlTask) -> str:
    """Write one control video and return its SHA-256. One that was made from the same source is kept."""
    source = sha256_of_file(task.source)
    if (digest := _made_before(task, source)) is not None:
        return digest
    with tempfile.TemporaryFile() as frames, atomic_path(task.target) as temporary:
        rewrite_video(task.source, temporary, frames, task.control, random.Random(f"{task.seed}/{task.video_id}"))
    digest = sha256_of_file(task.target)
    write_json(task.row_file, {"source": source, "sha256": digest})
    return digest


def _made_before(task: ControlTask, source: str) -> str | None:
    if not (task.row_file.is_file() and task.target.is_file()):
        return None
    row = read_json(task.row_file)
    return row["sha256"] if row == {"source": source, "sha256": sha256_of_file(task.target)} else None


def frame_order(control: VideoControl, count: int, generator: random.Random) -> list[int]:
    """Which frame of the clip is shown at each of its `count` time stamps."""
    if control == "constant_frame":
        return [generator.randrange(count)] * count
    order = list(range(count))
    generator.shuffle(order)
    return order


def rewrite_video(
    source: Path, target: Path, frames: BinaryIO, control: VideoControl, generator: random.Random
) -> None:
    """Encode all frames of `source` in the control's order at the original time stamps, as H.264.

    Decoded frames wait in the file `frames` (1.5 bytes a pixel), because a long clip does not fit in memory. Raises
    av.FFmpegError or ValueError for a source that cannot be read.
    """
    with open_video(source) as (container, stream):
        clip = _spool(decoded_frames(container, stream), frames)
        with av.open(str(target), "w", options={"fflags": "+bitexact"}) as written:
            encoder = _like(written.add_stream("libx264", rate=stream.average_rate, options=ENCODER), stream, clip)
            for pts, index in zip(clip.pts, frame_order(control, len(clip.pts), generator), strict=True):
                frame = VideoFrame.from_ndarray(_read_frame(frames, index, clip), format=PIXEL_FORMAT)
                frame.pts, frame.time_base = pts - clip.pts[0], stream.time_base
                written.mux(encoder.encode(frame))
            written.mux(encoder.encode(None))


def _spool(decoded: Iterable[VideoFrame], frames: BinaryIO) -> Clip:
    pts: list[int] = []
    shape: tuple[int, int] | None = None
    for frame in decoded:
        planes = _upright_planes(frame)
        height, width = planes[0].shape
        if shape not in (None, (width, height)) or frame.pts is None:
            raise ValueError(f"frame {len(pts)} has no time stamp, or another size than the first")
        shape = (width, height)
        pts.append(frame.pts)
        frames.writelines(plane.tobytes() for plane in planes)
    if shape is None:
        raise ValueError("no frame can be decoded")
    return Clip(pts, *shape)


def _upright_planes(frame: VideoFrame) -> list[np.ndarray]:
    """Luma (H, W) and both chroma planes (H/2, W/2), as they are shown."""
    if frame.format.is_rgb:
        frame = _of_even_size(frame)
    stored = frame.to_ndarray(format=PIXEL_FORMAT).reshape(-1)
    size = frame.width * frame.height
    luma = stored[:size].reshape(frame.height, frame.width)
    chroma = stored[size:].reshape(2, frame.height // 2, frame.width // 2)
    return [orientation_of(frame).upright(plane) for plane in (luma, *chroma)]


def _of_even_size(frame: VideoFrame) -> VideoFrame:
    """A frame of RGB without its last row and column where their number is odd: 4:2:0 has none such."""
    pixels = frame.to_ndarray(format="rgb24")[: frame.height // 2 * 2, : frame.width // 2 * 2]
    even = VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
    even.pts, even.time_base = frame.pts, frame.time_base
    return even


def _read_frame(frames: BinaryIO, index: int, clip: Clip) -> np.ndarray:
    """Frame `index` as planar YUV 4:2:0, uint8 of shape (height · 3/2, width)."""
    size = clip.width * clip.height * 3 // 2
    frames.seek(index * size)
    return np.frombuffer(frames.read(size), dtype=np.uint8).reshape(clip.height * 3 // 2, clip.width)


def _like(encoder: VideoStream, source: VideoStream, clip: Clip) -> VideoStream:
    """Give the encoder the source's size, time base and colour description."""
    context = encoder.codec_context
    context.width, context.height, context.pix_fmt = clip.width, clip.height, PIXEL_FORMAT
    context.time_base = encoder.time_base = source.time_base
    context.flags |= Flags.bitexact
    if ratio := source.codec_context.sample_aspect_ratio:
        context.sample_aspect_ratio = ratio
    if source.codec_context.format.is_rgb:
        # What FFmpeg makes of RGB.
        context.color_range, context.colorspace = ColorRange.MPEG, Colorspace.ITU601
        return encoder
    for name in ("color_range", "colorspace", "color_primaries", "color_trc"):
        setattr(context, name, getattr(source.codec_context, name))
    return encoder
