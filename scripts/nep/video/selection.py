"""Some frames of a video without decoding all: from the IDR picture before each, passing over what none needs."""

import itertools
from collections.abc import Collection, Iterator

from av.container import InputContainer
from av.error import FFmpegError
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from nep.video.packets import IrregularStreamError, PacketList, is_reference, length_size, video_packets


def selected_frames(
    container: InputContainer, stream: VideoStream, packets: PacketList, wanted: Collection[int]
) -> Iterator[VideoFrame]:
    """The frames with PTS `wanted`, equal to those of a decode of the whole stream, which `packets` lists.

    Pictures that no other refers to are decoded only if wanted. Any error in what is decoded ends it, as concealment
    depends on what was decoded before. Raises IrregularStreamError then, and where the stream changes between passes.
    """
    ends = run_ends(packets, wanted)
    stream.codec_context.options = {"err_detect": "explode"}
    container.seek(packets.timeline.pts[0], stream=stream)
    prefix = length_size(stream.codec_context.extradata)
    end = 0
    try:
        for place, packet in enumerate(video_packets(container, stream)):
            if packet.pts != packets.pts[place]:
                raise IrregularStreamError("packets come in another order in the second pass")
            end = ends.get(place, end)
            if place >= end:
                continue
            if packet.pts in wanted or is_reference(packet, prefix):
                yield from _intact(stream.codec_context.decode(packet), wanted)
            if place + 1 == end:
                yield from _intact(stream.codec_context.decode(None), wanted)
                stream.codec_context.flush_buffers()
    except FFmpegError as error:
        raise IrregularStreamError(f"{type(error).__name__}: {error.strerror}") from None


def run_ends(packets: PacketList, wanted: Collection[int]) -> dict[int, int]:
    """Which packets to decode, in places of decode order: place of an IDR picture → end of what is needed after it."""
    starts = [place for place, idr in enumerate(packets.idr) if idr]
    ends: dict[int, int] = {}
    for start, stop in itertools.pairwise([*starts, len(packets.pts)]):
        needed = [place for place in range(start, stop) if packets.pts[place] in wanted]
        if needed:
            ends[start] = needed[-1] + 1
    return ends


def _intact(frames: list[VideoFrame], wanted: Collection[int]) -> Iterator[VideoFrame]:
    for frame in frames:
        if frame.is_corrupt:
            raise IrregularStreamError(f"the frame at {frame.pts} is damaged")
        if frame.pts in wanted:
            yield frame
