"""The packets of an H.264 stream: time stamps, and what each picture is, without decoding any."""

from collections.abc import Iterator
from dataclasses import dataclass

from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from nep.video.h264_headers import (
    IDR_SLICE,
    PPS,
    SLICE,
    SPS,
    BitReader,
    IrregularStreamError,
    PocCounter,
    Pps,
    Sps,
    configured_sets,
    demand,
    parse_pps,
    parse_sps,
)
from nep.video.timeline import Timeline, typical_step

_AVCC_VERSION = 1
# In these, frames around a cut can be encoded; videos made of images are RGB, and have only IDR pictures.
_ENCODED_AGAIN = ("yuv420p", "yuvj420p")
RGB = "gbrp"
# Up to the picture order count, a slice header has six numbers.
_HEADER_BYTES = 32


@dataclass(frozen=True)
class PacketList:
    """The packets of a video stream in decode order.

    `pts` in the units of `timeline`, all different; `idr[i]`: packet i starts a coded video sequence, nothing after it
    refers to anything before it. `parameter_ids`: ids of all sequence and picture parameter sets.
    """

    pts: tuple[int, ...]
    idr: tuple[bool, ...]
    timeline: Timeline
    parameter_ids: frozenset[int]


def read_packets(container: InputContainer, stream: VideoStream) -> PacketList:
    """List the packets of an H.264 stream with length-prefixed NAL units, as MP4, MOV and Matroska hold it.

    Raises IrregularStreamError for any other stream, for one of RGB in which not every picture is an IDR picture, where
    a packet is damaged, hidden by an edit list or without a time stamp of its own, and where time stamps do not follow
    the pictures' order of display: a demuxer that finds none makes them up (AVI), and some files have decoding times in
    their place.
    """
    context = stream.codec_context
    header = context.extradata
    if context.name != "h264" or not header or header[0] != _AVCC_VERSION:
        raise IrregularStreamError(f"{context.name} in {container.format.name}")
    if context.pix_fmt not in (*_ENCODED_AGAIN, RGB):
        raise IrregularStreamError(f"pixel format {context.pix_fmt}")
    reader = _PlaceReader(header)
    pts: list[int] = []
    idr: list[bool] = []
    durations: list[int] = []
    places: list[tuple[int, int]] = []
    for packet in video_packets(container, stream):
        if packet.is_corrupt or packet.is_discard or packet.pts is None:
            raise IrregularStreamError(f"packet {len(pts)} is damaged, hidden or without a time stamp")
        is_idr, place = reader.read(packet)
        pts.append(packet.pts)
        idr.append(packet.is_keyframe and is_idr)
        durations.append(packet.duration or 0)
        places.append(place)
        demand(idr[-1] or context.pix_fmt != RGB, f"pixel format {RGB}, and pictures that refer to others")
    if not pts or not idr[0] or len(set(pts)) != len(pts):
        raise IrregularStreamError("no packets, no IDR picture first, or one time stamp twice")
    displayed = [stamp for _, stamp in sorted(zip(places, pts, strict=True))]
    shown = sorted(pts)
    demand(displayed == shown and len(set(places)) == len(places), "time stamps that are not in order of display")
    last_duration = durations[pts.index(shown[-1])] or typical_step(shown)
    timeline = Timeline(tuple(shown), last_duration, stream.time_base)
    return PacketList(tuple(pts), tuple(idr), timeline, reader.parameter_ids)


def video_packets(container: InputContainer, stream: VideoStream) -> Iterator[Packet]:
    """The packets of a stream in decode order, without the empty one that ends it."""
    return (packet for packet in container.demux(stream) if packet.size)


def length_size(header: bytes) -> int:
    """Bytes of the length before each NAL unit, from an AVCDecoderConfigurationRecord (ISO/IEC 14496-15, 5.3.3)."""
    return (header[4] & 3) + 1


def is_reference(packet: Packet, prefix: int) -> bool:
    """Whether other pictures may refer to this one (`nal_ref_idc` of its slices is not 0)."""
    return any(unit[0] & 0x60 for unit in nal_units(packet, prefix) if unit[0] & 31 in (SLICE, IDR_SLICE))


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


class _PlaceReader:
    """Reads which pictures are IDR pictures, and the place of each in the order of display, from its first slice."""

    def __init__(self, header: bytes) -> None:
        self._prefix = length_size(header)
        self._parsed: dict[bytes, Sps | Pps] = {}
        self._spses: dict[int, Sps] = {}
        self._ppses: dict[int, Pps] = {}
        self._sequence = self._decoded = 0
        self._counter = PocCounter()
        for unit in configured_sets(header):
            self._learn(bytes(unit))

    @property
    def parameter_ids(self) -> frozenset[int]:
        """Ids of all sets read so far."""
        return frozenset(parsed.identity for parsed in self._parsed.values())

    def read(self, packet: Packet) -> tuple[bool, tuple[int, int]]:
        """Whether the next packet's picture is an IDR picture; number of its sequence and its order count there."""
        for unit in nal_units(packet, self._prefix):
            kind = unit[0] & 31
            if kind in (SPS, PPS):
                self._learn(bytes(unit))
            elif kind in (SLICE, IDR_SLICE):
                return kind == IDR_SLICE, self._place(unit, idr=kind == IDR_SLICE)
        raise IrregularStreamError(f"packet {self._decoded} holds no picture")

    def _learn(self, unit: bytes) -> None:
        parsed = self._parsed.get(unit) or (parse_sps(unit) if unit[0] & 31 == SPS else parse_pps(unit))
        self._parsed[unit] = parsed
        if isinstance(parsed, Sps):
            self._spses[parsed.identity] = parsed
        else:
            self._ppses[parsed.identity] = parsed

    def _place(self, unit: memoryview, *, idr: bool) -> tuple[int, int]:
        bits = BitReader(bytes(unit[1:_HEADER_BYTES]))
        bits.ue(), bits.ue()
        pps = self._ppses.get(bits.ue())
        sps = self._spses.get(pps.sps) if pps else None
        if sps is None:
            raise IrregularStreamError("a slice without its parameter sets")
        bits.u(sps.frame_num_bits)
        if not sps.frame_only and bits.u(1):
            bits.u(1)
        if idr:
            bits.ue()
            self._sequence += 1
            self._counter = PocCounter()
        self._decoded += 1
        if not sps.poc_lsb_bits:
            # Type 2 of picture order counts: shown as decoded.
            return self._sequence, self._decoded
        lsb = bits.u(sps.poc_lsb_bits)
        return self._sequence, self._counter.count(lsb, sps.poc_lsb_bits, is_reference=bool(unit[0] & 0x60))
