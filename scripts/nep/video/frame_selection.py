"""Some frames of an H.264 stream, equal to those of a decoder that reads all of it, for the work of far fewer pictures.

The headers of all packets say which pictures each one may read. To show a frame, what comes before the last IDR picture
is left out, and so are pictures that nothing reads; a reference picture that no shown frame reads, directly or not, is
replaced by an empty one of the same number, order and marking.

This is exact only if a decoder shows every packet as one frame, in the order of the time stamps. The rule for that:
each packet of the file, decoded or not, holds one coded frame whose headers are complete and within their bounds; no
frame is missing before it, its references are there, and there is no more reordering than the stream declares; time
stamps are there and follow the order of display; and what is decoded gives no error and no concealed frame. Damage in
the body of a picture that is not decoded changes neither the number of frames nor any pixel that is shown. All else
raises IrregularStreamError.
"""

import itertools
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from nep.video.h264_headers import IrregularStreamError, demand
from nep.video.h264_pictures import ParameterSets, Picture, PictureReader, stand_in


@dataclass(frozen=True)
class PictureIndex:
    """The pictures of a stream in decoding order, their time stamps, and those that are shown, in order of display."""

    pictures: tuple[Picture, ...]
    pts: tuple[int, ...]
    shown: tuple[int, ...]
    length_size: int
    configured: ParameterSets


def index_pictures(container: InputContainer, stream: VideoStream) -> PictureIndex:
    """Read the headers of all packets. Raises IrregularStreamError where a selection is not known to be exact."""
    demand(stream.codec_context.name == "h264", f"a stream of codec {stream.codec_context.name}")
    reader = PictureReader(stream.codec_context.extradata or b"")
    pictures: list[Picture] = []
    pts: list[int] = []
    hidden: set[int] = set()
    for packet in _packets(container, stream):
        if packet.pts is None:
            raise IrregularStreamError("a packet without a time stamp")
        demand(not packet.is_corrupt, "a packet that the container calls corrupt")
        if packet.is_discard:
            hidden.add(len(pictures))
        pictures.append(reader.read(memoryview(packet)))
        pts.append(packet.pts)
    order = _order_of_display(pictures)
    demand(all(pts[a] < pts[b] for a, b in itertools.pairwise(order)), "time stamps that are not in order of display")
    shown = tuple(number for number in order if number not in hidden)
    return PictureIndex(tuple(pictures), tuple(pts), shown, reader.length_size, reader.configured)


def selected_frames(
    container: InputContainer, stream: VideoStream, index: PictureIndex, wanted: Collection[int]
) -> Iterator[tuple[int, VideoFrame]]:
    """The frames `wanted` (places in `index.shown`), each with its place, in order, from a file opened anew.

    Raises IrregularStreamError where what is read shows that they may not be exact.
    """
    stream.codec_context.options = {"err_detect": "explode"}
    places = {index.pts[index.shown[place]]: place for place in wanted}
    needed = _needed(index, frozenset(index.shown[place] for place in wanted))
    for frame in _decoded(container, stream, index, needed):
        demand(not frame.is_corrupt, "a frame that is concealed")
        if frame.pts in places:
            yield places[frame.pts], frame


def _packets(container: InputContainer, stream: VideoStream) -> Iterator[Packet]:
    for packet in container.demux(stream):
        # PyAV's own sign of the end; an empty packet before it would end the decoder too.
        if packet.size == 0 and packet.pts is None and packet.dts is None:
            return
        demand(packet.size > 0, "an empty packet")
        yield packet


def _order_of_display(pictures: Sequence[Picture]) -> list[int]:
    """Numbers of the pictures; the first one is an IDR picture."""
    starts = itertools.accumulate(picture.starts for picture in pictures)
    keys = [(start, picture.order) for start, picture in zip(starts, pictures, strict=True)]
    return sorted(range(len(pictures)), key=keys.__getitem__)


def _needed(index: PictureIndex, shown: frozenset[int]) -> dict[int, bool]:
    """The pictures that the decoder gets: True where it must decode the picture itself, False for a stand-in."""
    needed: dict[int, bool] = {}
    read: set[int] = set()
    begun = False
    for picture in reversed(index.pictures):
        begun |= picture.number in shown
        if picture.number in shown or picture.number in read or (begun and picture.starts):
            needed[picture.number] = True
            read |= picture.references
        elif begun and picture.is_reference:
            needed[picture.number] = False
        begun &= not picture.starts
    return needed


def _decoded(
    container: InputContainer, stream: VideoStream, index: PictureIndex, needed: dict[int, bool]
) -> Iterator[VideoFrame]:
    decoder = stream.codec_context
    sets = index.configured
    last = max(needed)
    try:
        for number, packet in enumerate(itertools.islice(_packets(container, stream), last + 1)):
            if number not in needed:
                continue
            picture = index.pictures[number]
            demand(packet.pts == index.pts[number], "a file that changes while it is read")
            if picture.starts:
                yield from decoder.decode(None)
                decoder.flush_buffers()
            changed = {} if sets == picture.sets else picture.sets
            yield from decoder.decode(_as_fed(packet, picture, needed[number], changed, index.length_size))
            sets = picture.sets
        yield from decoder.decode(None)
    except av.FFmpegError as error:
        raise IrregularStreamError(f"the decoder finds an error: {error}") from None


def _as_fed(packet: Packet, picture: Picture, whole: bool, sets: ParameterSets, length_size: int) -> Packet:
    """The packet, or a stand-in for its picture, after `sets`: the parameter sets that the decoder has missed."""
    if whole and not sets:
        return packet
    units = [nal for _, nal in sorted(sets.items())] + ([] if whole else list(stand_in(picture)))
    framed = b"".join(_framed(nal, length_size) for nal in units)
    made = Packet(framed + bytes(packet) if whole else framed)
    made.pts, made.dts, made.time_base = packet.pts, packet.dts, packet.time_base
    return made


def _framed(nal: bytes, length_size: int) -> bytes:
    return (len(nal).to_bytes(length_size, "big") if length_size else b"\0\0\0\1") + nal
