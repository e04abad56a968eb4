"""The frames that a question shows, as JPEG images."""

import io
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nep.ask.request import Frame
from nep.video.frames_at import frames_at

QUALITY = 85


def even_times(start: float, end: float, count: int) -> list[float]:
    """The middles of `count` equal parts of a time, in seconds."""
    step = (end - start) / count
    return [round(start + (place + 0.5) * step, 3) for place in range(count)]


def read_frames(path: Path, times: Sequence[float], size: int) -> list[Frame]:
    """The frames that are shown at `times` (seconds from the first), their longer sides of `size` pixels at most.

    Raises Rejection (undecodable_video) for a file that cannot be read.
    """
    return frames_at(path, times, partial(to_jpeg, size=size))


def to_jpeg(pixels: NDArray[np.uint8], size: int) -> Frame:
    """uint8 RGB (H, W, 3) as a JPEG, made smaller where a side is longer than `size`."""
    image = Image.fromarray(pixels)
    image.thumbnail((size, size), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=QUALITY)
    return Frame(buffer.getvalue())
