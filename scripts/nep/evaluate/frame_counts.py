"""How many frames a video has, read without decoding it."""

from itertools import islice
from pathlib import Path

import av

from nep.errors import InputError
from nep.video.stream import open_video


def sampled_frames(path: Path, most: int) -> int:
    """Frames that lmms-eval's wrappers can sample of a clip: an even number, 2 at least and `most`, itself even, at
    most. Raises InputError if unreadable."""
    return max(2, count_frames(path, most)[0] // 2 * 2)


def count_frames(path: Path, most: int | None = None) -> tuple[int, float]:
    """Number of coded frames, counted up to `most`, and frame rate of a video, read without decoding.

    Raises InputError if unreadable.
    """
    try:
        with open_video(path) as (container, stream):
            packets = (packet for packet in container.demux(stream) if packet.size)
            frames = sum(1 for _ in islice(packets, most))
            return frames, float(stream.average_rate)
    except (av.FFmpegError, ValueError, TypeError) as error:
        raise InputError(f"{path}: not a readable video ({error})") from None
