"""Videos made of images: H.264 without loss, in RGB, every picture an IDR picture.

Each pixel is that of its image, and no cut has to encode any of them again. One shard of a source's folders is a job.
"""

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from importlib.metadata import version
from pathlib import Path

import av
import numpy as np
from av.codec.context import Flags
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray
from PIL import Image, ImageOps

from nep.config.source import Source
from nep.download.frame_folders import FrameFolder, images_of, rate_of
from nep.files import atomic_path, confined, is_intact, sha256_of_file, sha256_of_json
from nep.jobs.ledger import Ledger
from nep.jobs.shards import shard_name, shard_of
from nep.jobs.workers import Failure, run_items
from nep.rows.base import write_rows
from nep.rows.frame_video import FrameRow, FrameVideo
from nep.rows.quarantine import Quarantined, Reason, Rejection
from nep.split.mp4 import create_mp4

STAGE = "download"
# What decides a video's bytes beside the code.
PACKAGES = ("av", "numpy", "pillow")
ENCODER = {"preset": "ultrafast", "qp": "0", "g": "1"}
WHITE = (255, 255, 255)
_REASONS = {"timeout": Reason.FRAMES_TIMEOUT, "crash": Reason.FRAMES_CRASH, "error": Reason.FRAMES_CRASH}
# A hang or a crash may come from the machine: the next run tries again.
_TRANSIENT = frozenset({Reason.FRAMES_TIMEOUT, Reason.FRAMES_CRASH})
# What Pillow raises on files that are no images, or broken ones.
_UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, Image.DecompressionBombError)


@dataclass(frozen=True)
class FramesTask:
    """A video to make: `video` below the folder `videos`, of `images` in their order, `fps` (a fraction) a second.

    `name` is the folder's in messages; `sha256` is over the images' contents.
    """

    identity: str
    name: str
    images: tuple[Path, ...]
    fps: str
    videos: Path
    video: str
    sha256: str

    @property
    def given(self) -> dict[str, str]:
        """What the video is made of."""
        return {"images": self.sha256, "fps": self.fps}


def frames_shard(
    source: Source,
    folders: Sequence[FrameFolder],
    processes: int,
    shard: int,
    shards: int,
    run_dir: Path,
    out: Path,
    code: str,
) -> None:
    """Make the videos of one shard of `folders` below `run_dir`/download/videos; write to `out`, sorted by id, a row of
    each: that of `FrameVideo`, or a quarantine row.

    A video is kept where its images, their order, their rate and the logic, of which `code` is the fingerprint, are the
    same.
    """
    videos = run_dir / "download/videos"
    fingerprint = sha256_of_json({"code": code, **{name: version(name) for name in PACKAGES}})[:16]
    ledger = Ledger(run_dir / "work/frames" / fingerprint, FrameRow, lambda row: _holds(videos, row))
    rows: list[FrameRow] = []
    tasks = []
    for folder in folders:
        if shard_of(folder.identity, shards) != shard:
            continue
        try:
            task = _task(source, folder, videos)
        except Rejection as rejection:
            rows.append(_left_out(folder.identity, folder.path, rejection.reason, rejection.detail))
            continue
        if row := ledger.find(task.identity, task.given):
            rows.append(row)
        else:
            tasks.append(task)
    outcomes = run_items(
        make_video,
        tasks,
        processes=processes,
        timeout_s=source.frame_folders.timeout_s,
        label=f"frames {shard_name(shard, shards)}",
        preload=[__name__],
    )
    for task, outcome in outcomes:
        failed = isinstance(outcome, Failure)
        row = _left_out(task.identity, task.name, _REASONS[outcome.kind], outcome.detail) if failed else outcome
        ledger.store(task.identity, task.given, row)
        rows.append(row)
    write_rows(out, sorted(rows, key=lambda row: row.id))


def make_video(task: FramesTask) -> FrameRow:
    """Make one video, in a worker process."""
    target = confined(task.videos, task.video)
    try:
        with atomic_path(target) as temporary:
            write_video(task.images, Fraction(task.fps), temporary)
    except Rejection as rejection:
        return _left_out(task.identity, task.name, rejection.reason, rejection.detail)
    about = {"size": target.stat().st_size, "sha256": sha256_of_file(target)}
    return FrameVideo(id=task.identity, path=task.video, frames=len(task.images), fps=task.fps, **about)


def write_video(images: Sequence[Path], fps: Fraction, target: Path) -> None:
    """Write an MP4 file that shows `images` one after another, `fps` a second, from 0, one image in memory at a time.

    Raises Rejection: `unreadable_image`, `mixed_image_sizes`.
    """
    time_base = Fraction(1, fps.numerator)
    size: tuple[int, int] | None = None
    with create_mp4(target, time_base) as written:
        stream = written.add_stream("libx264rgb", rate=fps, options=ENCODER)
        for number, path in enumerate(images):
            pixels = read_rgb(path)
            height, width = pixels.shape[:2]
            if size is None:
                size = (width, height)
                _set_up(stream, size, time_base)
            elif size != (width, height):
                expected = f"{images[0].name} {size[0]} x {size[1]}"
                raise Rejection(Reason.MIXED_IMAGE_SIZES, f"{path.name} has {width} x {height} pixels, {expected}")
            frame = VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = number * fps.denominator, time_base
            _write(written, stream.encode(frame), fps)
        _write(written, stream.encode(None), fps)


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """An image, uint8 (H, W, 3), upright by its EXIF orientation; of 16 bits the upper 8, what is transparent on white.

    Raises Rejection (unreadable_image).
    """
    try:
        with Image.open(path) as image:
            return _rgb(ImageOps.exif_transpose(image))
    except _UNREADABLE as error:
        said = " ".join(str(error).replace(str(path), path.name).split())
        raise Rejection(Reason.UNREADABLE_IMAGE, f"{path.name}: {said}") from None


def _rgb(image: Image.Image) -> NDArray[np.uint8]:
    if image.mode.startswith("I;16"):
        grey = (np.asarray(image) >> 8).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    if image.mode in ("I", "F"):
        raise ValueError("pixels of 32 bits, of which no range is known; save it with 8 or 16 bits")
    if image.has_transparency_data:
        shown = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", shown.size, WHITE), shown)
    return np.asarray(image.convert("RGB"))


def _set_up(stream: VideoStream, size: tuple[int, int], time_base: Fraction) -> None:
    context = stream.codec_context
    context.width, context.height = size
    context.pix_fmt = "rgb24"
    context.time_base = stream.time_base = time_base
    context.flags |= Flags.bitexact
    # x264's output depends on the number of threads.
    context.thread_count = 1


def _write(written: av.container.OutputContainer, packets: Sequence[av.Packet], fps: Fraction) -> None:
    for packet in packets:
        packet.duration = fps.denominator
        written.mux(packet)


def _task(source: Source, folder: FrameFolder, videos: Path) -> FramesTask:
    root = Path(source.path)
    if folder.images is None and (root / folder.video).is_file():
        raise Rejection(Reason.DUPLICATE_RECORD, f"beside the folder {folder.path!r} there is a file {folder.video!r}")
    fps = rate_of(root, folder, source.frame_folders.fps)
    names = images_of(root, folder)
    if len(names) < 2:
        raise Rejection(Reason.TOO_FEW_FRAMES, f"{len(names)} images, at least 2 are needed")
    if missing := next((name for name in names if not (root / name).is_file()), None):
        raise Rejection(Reason.MISSING_IMAGE, f"no file {missing!r} below the source")
    return FramesTask(
        identity=folder.identity,
        name=folder.path,
        images=tuple((root / name).resolve() for name in names),
        fps=fps,
        videos=videos.resolve(),
        video=folder.video,
        sha256=sha256_of_json([sha256_of_file(root / name) for name in names]),
    )


def _holds(videos: Path, row: FrameRow) -> bool:
    if isinstance(row, FrameVideo):
        return is_intact(videos / row.path, row.sha256)
    return row.reason not in _TRANSIENT


def _left_out(identity: str, name: str, reason: Reason, detail: str) -> Quarantined:
    return Quarantined(id=identity, stage=STAGE, reason=reason, detail=f"{name}: {detail}")
