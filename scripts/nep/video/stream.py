"""Which stream of a file is its video."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

# A playlist renamed to .mp4 must not make the demuxer open other files or the network.
_OPEN_OPTIONS = {"protocol_whitelist": "file"}


@contextmanager
def open_video(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open a file and a video stream that is no cover picture, decoding on one thread.

    It is the stream that the file calls the default, as players take it, else the first one.
    One thread, because the concealment of broken frames depends on the number of threads. Raises av.FFmpegError or
    ValueError for a file without one.
    """
    with av.open(str(path), container_options=_OPEN_OPTIONS) as container:
        streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
        if not streams:
            raise ValueError("the file has no video stream")
        stream = max(streams, key=lambda one: bool(one.disposition & Disposition.default))
        stream.thread_type = "NONE"
        stream.codec_context.thread_count = 1
        yield container, stream
