"""Frames of videos as small images on a page, and which of many questions or records are shown."""

import base64
import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

from nep.files import confined
from nep.rows.cut import Segment
from nep.video.orientation import orientation_of
from nep.video.stream import open_video

FIRST_FRAMES = 6
SECOND_FRAMES = 4
THUMBNAIL_SIZE = (224, 168)
JPEG_QUALITY = 82


@dataclass(frozen=True)
class Frame:
    """A frame as a data URI; `seconds` from the start of its part."""

    uri: str
    seconds: float


def frames_of(path: Path, count: int) -> list[Frame]:
    """`count` frames at equal distances, the first and the last among them, as small JPEG data URIs.

    Empty when the file is absent or cannot be decoded: a missing frame must not end a report.
    """
    try:
        return _decode_frames(path, count)
    except (av.FFmpegError, OSError, ValueError):
        return []


def part_frames(root: Path, part: Segment | None, count: int) -> list[Frame]:
    """`count` frames of one part of a cut video, as its row in the split manifest names it; none where it has none."""
    return frames_of(confined(root, part.path), count) if part else []


def alternate(questions: list[str], kinds: dict[str, str]) -> list[str]:
    """Questions in the order of a hash of their id, taken from each kind in turn."""
    hashed = sorted(questions, key=lambda question: hashlib.sha256(question.encode()).hexdigest())
    turns: dict[str, int] = {}
    order: dict[str, tuple[int, str]] = {}
    for question in hashed:
        kind = kinds[question]
        turns[kind] = turns.get(kind, 0) + 1
        order[question] = (turns[kind], kind)
    return sorted(hashed, key=order.__getitem__)


def _decode_frames(path: Path, count: int) -> list[Frame]:
    with open_video(path) as (container, stream):
        stamps = sorted(packet.pts for packet in container.demux(stream) if packet.pts is not None)
        if not stamps:
            return []
        places = np.linspace(0, len(stamps) - 1, min(count, len(stamps))).round().astype(int)
        frames = []
        for stamp in (stamps[place] for place in places):
            container.seek(stamp, stream=stream, backward=True)
            image = _image_at(container.decode(stream), stamp)
            if image is not None:
                frames.append(Frame(_data_uri(image), float((stamp - stamps[0]) * stream.time_base)))
        return frames


def _image_at(frames: Any, stamp: int) -> Image.Image | None:
    for frame in frames:
        if frame.pts is not None and frame.pts >= stamp:
            return Image.fromarray(orientation_of(frame).upright(frame.to_ndarray(format="rgb24")))
    return None


def _data_uri(image: Image.Image) -> str:
    image.thumbnail(THUMBNAIL_SIZE, Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=JPEG_QUALITY, subsampling=0, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode("ascii")
