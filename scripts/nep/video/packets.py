"""The packets of an H.264 stream: time stamps, and what each picture is, without decoding any."""

from collections.abc import Iterator
from dataclasses import dataclass

from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from nep.video.h264_headers import IrregularStreamError, configured_sets
from nep.video.timeline import Timeline, typical_step

# NAL unit types and the bits of the first byte: ITU-T H.264, 7.3.1 and table 7-1.
_SLICES = frozenset({1, 5})
_IDR_SLICE = 5
_SEQUENCE_PARAMETERS = 7
_PICTURE_PARAMETERS = 8
_AVCC_VERSION = 1


@dataclass(frozen=True)
class PacketList:
    """The packets of a video stream in decode order.

    `pts` in the units of `timeline`, all different; `idr[i]`: packet i starts a coded video sequence, nothing after it
    refers to anything before it. `parameter_ids`: ids of the sequence and picture parameter sets in the stream's header
    and in IDR packets.
    """

    pts: tuple[int, ...]
    idr: tuple[bool, ...]
    timeline: Timeline
    parameter_ids: frozenset[int]


def read_packets(container: InputContainer, stream: VideoStream) -> PacketList:
    """List the packets of an H.264 stream with length-prefixed NAL units (MP4, MOV, Matroska).

    Raises IrregularStreamError for any other stream, and where a packet is damaged, hidden by an edit list or without a
    time stamp of its own.
    """
    context = stream.codec_context
    header = context.extradata
    if context.name != "h264" or not header or header[0] != _AVCC_VERSION:
        raise IrregularStreamError(f"{context.name} in {container.format.name}")
    if context.pix_fmt not in ("yuv420p", "yuvj420p"):
        raise IrregularStreamError(f"pixel format {context.pix_fmt}")
    prefix = length_size(header)
    ids = {parameter_id(unit) for unit in configured_sets(header)}
    pts: list[int] = []
    idr: list[bool] = []
    durations: list[int] = []
    for packet in video_packets(container, stream):
        if packet.is_corrupt or packet.is_discard or packet.pts is None:
            raise IrregularStreamError(f"packet {len(pts)} is damaged, hidden or without a time stamp")
        starts = packet.is_keyframe and _is_idr(packet, prefix)
        if starts:
            ids |= {parameter_id(unit) for unit in nal_units(packet, prefix) if _is_parameter_set(unit)}
        pts.append(packet.pts)
        idr.append(starts)
        durations.append(packet.duration or 0)
    if not pts or not idr[0] or len(set(pts)) != len(pts):
        raise IrregularStreamError("no packets, no IDR picture first, or one time stamp twice")
    shown = sorted(pts)
    last_duration = durations[pts.index(shown[-1])] or typical_step(shown)
    return PacketList(tuple(pts), tuple(idr), Timeline(tuple(shown), last_duration, stream.time_base), frozenset(ids))


def video_packets(container: InputContainer, stream: VideoStream) -> Iterator[Packet]:
    """The packets of a stream in decode order, without the empty one that ends it."""
    return (packet for packet in container.demux(stream) if packet.size)


def length_size(header: bytes) -> int:
    """Bytes of the length before each NAL unit, from an AVCDecoderConfigurationRecord (ISO/IEC 14496-15, 5.3.3)."""
    return (header[4] & 3) + 1


def is_reference(packet: Packet, prefix: int) -> bool:
    """Whether other pictures may refer to this one (`nal_ref_idc` of its slices is not 0)."""
    return any(unit[0] & 0x60 for unit in nal_units(packet, prefix) if unit[0] & 0x1F in _SLICES)


def nal_units(packet: Packet, prefix: int) -> Iterator[memoryview]:
    """The NAL units of a packet, each after its length of `prefix` bytes, as far as lengths are plausible."""
    data = memoryview(packet)
    place = 0
    while place + prefix < len(data):
        length = int.from_bytes(data[place : place + prefix], "big")
        unit = data[place + prefix : place + prefix + length]
        if not unit:
            return
        yield unit
        place += prefix + length


def parameter_id(unit: bytes | memoryview) -> int:
    """Id of a sequence or picture parameter set (7.3.2.1.1, 7.3.2.2): its first Exp-Golomb number."""
    # After the header byte, a sequence's set has profile, constraints and level.
    body = bytes(unit[4:12] if unit[0] & 0x1F == _SEQUENCE_PARAMETERS else unit[1:9])
    bits = f"{int.from_bytes(body, 'big'):0{8 * len(body)}b}"
    zeros = len(bits) - len(bits.lstrip("0"))
    return int(bits[zeros : 2 * zeros + 1] or "1", 2) - 1


def _is_idr(packet: Packet, prefix: int) -> bool:
    return any(unit[0] & 0x1F == _IDR_SLICE for unit in nal_units(packet, prefix))


def _is_parameter_set(unit: memoryview) -> bool:
    return unit[0] & 0x1F in (_SEQUENCE_PARAMETERS, _PICTURE_PARAMETERS)
