"""The headers of an H.264 stream: NAL units, parameter sets and slice headers (Rec. ITU-T H.264, clause 7.3).

Covers coded frames, progressive or macroblock-adaptive, with short-term references; all else, and what is out of
bounds, raises IrregularStreamError.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

SLICE, IDR_SLICE, SPS, PPS = 1, 5, 7, 8
HIGH_PROFILES = frozenset({44, 83, 86, 100, 110, 118, 122, 128, 134, 138, 139, 244})
P, B, I = 0, 1, 2  # noqa: E741 - the standard's names
# Longer headers than this exist only with weights for many references.
HEADER_BYTES = 160


class IrregularStreamError(Exception):
    """Why a video cannot be handled packet by packet; its pictures can still be decoded one after the other."""


def demand(condition: bool, what: str) -> None:
    """Raise IrregularStreamError(what) unless `condition`."""
    if not condition:
        raise IrregularStreamError(what)


class BitReader:
    """Fixed-length and Exp-Golomb codes of a NAL unit's payload; raises IrregularStreamError beyond its end."""

    def __init__(self, payload: bytes) -> None:
        raw = payload.replace(b"\0\0\3", b"\0\0")
        self._value = int.from_bytes(raw, "big")
        self._left = len(raw) * 8

    def u(self, bits: int) -> int:
        """Unsigned, `bits` long."""
        self._left -= bits
        demand(self._left >= 0, "a header is cut off")
        return (self._value >> self._left) & ((1 << bits) - 1)

    def ue(self) -> int:
        """Unsigned Exp-Golomb."""
        rest = self._value & ((1 << self._left) - 1)
        self._left -= 2 * (self._left - rest.bit_length()) + 1
        demand(self._left >= 0, "a header is cut off")
        return (rest >> self._left) - 1

    def se(self) -> int:
        """Signed Exp-Golomb."""
        code = self.ue()
        return (code + 1) // 2 if code % 2 else -(code // 2)


class BitWriter:
    """The reverse of BitReader."""

    def __init__(self) -> None:
        self._bits: list[str] = []

    def u(self, value: int, bits: int) -> None:
        """Unsigned, `bits` long."""
        self._bits.append(f"{value:0{bits}b}" if bits else "")

    def ue(self, value: int) -> None:
        """Unsigned Exp-Golomb."""
        self.u(value + 1, 2 * (value + 1).bit_length() - 1)

    def se(self, value: int) -> None:
        """Signed Exp-Golomb."""
        self.ue(2 * value - 1 if value > 0 else -2 * value)

    def nal(self, header: int) -> bytes:
        """The NAL unit with header byte `header`: stop bit, alignment and emulation prevention added."""
        text = "".join([*self._bits, "1"])
        text += "0" * (-len(text) % 8)
        out = bytearray([header])
        for byte in int(text, 2).to_bytes(len(text) // 8, "big"):
            if byte <= 3 and len(out) > 2 and out[-2:] == b"\0\0":
                out.append(3)
            out.append(byte)
        return bytes(out)


@dataclass(frozen=True)
class Sps:
    """A sequence parameter set: `reorder` is the declared number of reordered frames, `picture` all of the format.

    `gaps`: numbers of frames may be left out.
    """

    identity: int
    chroma_format: int
    max_qp: int
    frame_num_bits: int
    poc_lsb_bits: int
    max_references: int
    gaps: bool
    macroblocks: int
    frame_only: bool
    reorder: int | None
    picture: tuple[int, ...]


@dataclass(frozen=True)
class Pps:
    """A picture parameter set; `active` holds the default lengths of the two reference lists."""

    identity: int
    sps: int
    cabac: bool
    bottom_poc: bool
    active: tuple[int, int]
    weighted: bool
    weighted_bipred: int
    init_qp: int
    deblocking_control: bool


@dataclass(frozen=True, slots=True)
class SliceHeader:
    """A slice header. `changes` are the two lists' modifications as (operation, value); `unmark` the MMCO 1 values."""

    idr: bool
    reference_idc: int
    first_mb: int
    kind: int
    frame_num: int
    idr_identity: int
    poc_lsb: int
    poc_delta_bottom: int
    active: tuple[int, int]
    changes: tuple[tuple[tuple[int, int], ...], tuple[tuple[int, int], ...]]
    unmark: tuple[int, ...] | None

    @property
    def picture(self) -> tuple[int | bool, ...]:
        """What all slices of a picture have in common."""
        return (self.idr, self.reference_idc, self.frame_num, self.idr_identity, self.poc_lsb, self.poc_delta_bottom)


class PocCounter:
    """Picture order counts of type 0 (8.2.1.1) of the pictures after an IDR picture, from their least bits."""

    def __init__(self) -> None:
        self._msb = self._lsb = 0

    def count(self, lsb: int, bits: int, *, is_reference: bool) -> int:
        """The count of the next picture in decoding order, whose slices say `lsb` in `bits` bits."""
        modulus = 1 << bits
        msb, difference = self._msb, lsb - self._lsb
        if difference <= -modulus // 2:
            msb += modulus
        elif difference > modulus // 2:
            msb -= modulus
        if is_reference:
            self._msb, self._lsb = msb, lsb
        return msb + lsb


def nal_units(data: memoryview, length_size: int) -> Iterator[memoryview]:
    """The NAL units of a packet: with lengths of `length_size` bytes before them, or after start codes if it is 0."""
    if not length_size:
        yield from _after_start_codes(data)
        return
    position = 0
    while position < len(data):
        start = position + length_size
        position = start + int.from_bytes(data[position:start], "big")
        demand(start < position <= len(data), "NAL lengths do not add up to the packet")
        yield data[start:position]


def _after_start_codes(data: memoryview) -> Iterator[memoryview]:
    pieces = bytes(data).split(b"\0\0\1")
    demand(len(pieces) > 1 and not pieces[0].strip(b"\0"), "the packet does not begin with a start code")
    for piece in pieces[1:]:
        unit = piece.rstrip(b"\0")
        demand(bool(unit), "an empty NAL unit")
        yield memoryview(unit)


def configured_sets(extradata: bytes) -> Iterator[bytes]:
    """The parameter sets of an avcC box (ISO/IEC 14496-15, 5.3.3.1)."""
    position = 5
    for mask in (31, 255):
        demand(position < len(extradata), "a decoder configuration that is cut off")
        count = extradata[position] & mask
        position += 1
        for _ in range(count):
            start = position + 2
            position = start + int.from_bytes(extradata[position:start], "big")
            demand(start < position <= len(extradata), "a decoder configuration that is cut off")
            yield extradata[start:position]


def parse_sps(nal: bytes) -> Sps:
    """A sequence parameter set. Raises IrregularStreamError for picture order counts of type 1 and separate planes."""
    bits = BitReader(nal[1:])
    profile = bits.u(8)
    bits.u(16)
    identity = bits.ue()
    chroma_format, depth = 1, (8, 8)
    if profile in HIGH_PROFILES:
        chroma_format = bits.ue()
        demand(chroma_format < 3 or not bits.u(1), "separate colour planes")
        depth = (bits.ue() + 8, bits.ue() + 8)
        bits.u(1)
        if bits.u(1):
            for index in range(8 if chroma_format != 3 else 12):
                if bits.u(1):
                    _skip_scaling_list(bits, 16 if index < 6 else 64)
    frame_num_bits = bits.ue() + 4
    poc_type = bits.ue()
    demand(poc_type in (0, 2), "picture order counts of type 1")
    poc_lsb_bits = bits.ue() + 4 if poc_type == 0 else 0
    max_references = bits.ue()
    gaps = bool(bits.u(1))
    width, height = bits.ue() + 1, bits.ue() + 1
    frame_only = bool(bits.u(1))
    if not frame_only:
        bits.u(1)
        height *= 2
    bits.u(1)
    crop = tuple(bits.ue() for _ in range(4)) if bits.u(1) else (0, 0, 0, 0)
    return Sps(
        identity=identity,
        chroma_format=chroma_format,
        max_qp=51 + 6 * (depth[0] - 8),
        frame_num_bits=frame_num_bits,
        poc_lsb_bits=poc_lsb_bits,
        max_references=max_references,
        gaps=gaps,
        macroblocks=width * height,
        frame_only=frame_only,
        reorder=_declared_reorder(bits) if bits.u(1) else None,
        picture=(chroma_format, *depth, width, height, frame_only, *crop),
    )


def _skip_scaling_list(bits: BitReader, size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + bits.se()) % 256
        last = following or last


def _declared_reorder(bits: BitReader) -> int | None:
    """`max_num_reorder_frames` of the video usability information."""
    if bits.u(1) and bits.u(8) == 255:
        bits.u(32)
    if bits.u(1):
        bits.u(1)
    if bits.u(1):
        bits.u(4)
        if bits.u(1):
            bits.u(24)
    if bits.u(1):
        bits.ue(), bits.ue()
    if bits.u(1):
        bits.u(65)
    decoder_models = [_skip_hrd(bits) if bits.u(1) else False for _ in range(2)]
    if any(decoder_models):
        bits.u(1)
    bits.u(1)
    if not bits.u(1):
        return None
    bits.u(1)
    return [bits.ue() for _ in range(6)][4]


def _skip_hrd(bits: BitReader) -> bool:
    count = bits.ue() + 1
    bits.u(8)
    for _ in range(count):
        bits.ue(), bits.ue(), bits.u(1)
    bits.u(20)
    return True


def parse_pps(nal: bytes) -> Pps:
    """A picture parameter set. Raises IrregularStreamError for slice groups and redundant pictures."""
    bits = BitReader(nal[1:])
    identity, sps = bits.ue(), bits.ue()
    cabac, bottom_poc = bool(bits.u(1)), bool(bits.u(1))
    demand(bits.ue() == 0, "slice groups")
    active = (bits.ue() + 1, bits.ue() + 1)
    weighted, weighted_bipred = bool(bits.u(1)), bits.u(2)
    init_qp = 26 + bits.se()
    bits.se(), bits.se()
    deblocking_control = bool(bits.u(1))
    bits.u(1)
    demand(not bits.u(1), "redundant pictures")
    return Pps(identity, sps, cabac, bottom_poc, active, weighted, weighted_bipred, init_qp, deblocking_control)


def parse_slice(nal: memoryview, spses: Mapping[int, Sps], ppses: Mapping[int, Pps]) -> tuple[SliceHeader, Sps, Pps]:
    """A whole slice header, every field within its bounds, and its parameter sets."""
    idr, reference_idc = nal[0] & 31 == IDR_SLICE, nal[0] >> 5
    bits = BitReader(bytes(nal[1:HEADER_BYTES]))
    first_mb, kind = bits.ue(), bits.ue()
    demand(kind < 10 and kind % 5 < 3, "a slice of unknown type")
    kind %= 5
    pps = ppses.get(bits.ue())
    sps = spses.get(pps.sps) if pps else None
    if pps is None or sps is None:
        raise IrregularStreamError("a slice without its parameter sets")
    demand(first_mb < sps.macroblocks, "a slice beyond the picture")
    demand(not idr or (kind == I and reference_idc > 0), "an IDR slice that is no intra reference")
    frame_num = bits.u(sps.frame_num_bits)
    demand(sps.frame_only or not bits.u(1), "coded fields")
    idr_identity = bits.ue() if idr else 0
    poc_lsb = bits.u(sps.poc_lsb_bits)
    poc_delta_bottom = bits.se() if sps.poc_lsb_bits and pps.bottom_poc else 0
    if kind == B:
        bits.u(1)
    active = _active(bits, kind, pps)
    changes = tuple(_list_changes(bits) if kind in kinds else () for kinds in ((P, B), (B,)))
    if (pps.weighted and kind == P) or (pps.weighted_bipred == 1 and kind == B):
        _skip_weights(bits, active, sps.chroma_format)
    unmark = _marking(bits, idr) if reference_idc else None
    demand(not (pps.cabac and kind != I) or bits.ue() <= 2, "an unknown CABAC table")
    demand(0 <= pps.init_qp + bits.se() + sps.max_qp - 51 <= sps.max_qp, "a quantiser out of bounds")
    if pps.deblocking_control:
        _check_deblocking(bits)
    header = SliceHeader(
        idr, reference_idc, first_mb, kind, frame_num, idr_identity, poc_lsb, poc_delta_bottom, active, changes, unmark
    )
    return header, sps, pps


def _active(bits: BitReader, kind: int, pps: Pps) -> tuple[int, int]:
    if kind == I:
        return 0, 0
    first, second = pps.active
    if bits.u(1):
        first = bits.ue() + 1
        second = bits.ue() + 1 if kind == B else 0
    second = second if kind == B else 0
    demand(max(first, second) <= 16, "more than 16 references")
    return first, second


def _list_changes(bits: BitReader) -> tuple[tuple[int, int], ...]:
    changes: list[tuple[int, int]] = []
    if bits.u(1):
        while (operation := bits.ue()) != 3:
            demand(operation < 2, "long-term references")
            changes.append((operation, bits.ue() + 1))
    return tuple(changes)


def _skip_weights(bits: BitReader, active: tuple[int, int], chroma_format: int) -> None:
    bits.ue()
    if chroma_format:
        bits.ue()
    for _ in range(sum(active)):
        if bits.u(1):
            bits.se(), bits.se()
        if chroma_format and bits.u(1):
            bits.se(), bits.se(), bits.se(), bits.se()


def _marking(bits: BitReader, idr: bool) -> tuple[int, ...] | None:
    if idr:
        demand(bits.u(2) == 0, "an IDR picture that drops others, or a long-term one")
        return None
    if not bits.u(1):
        return None
    unmarked: list[int] = []
    while operation := bits.ue():
        demand(operation == 1, "long-term references")
        unmarked.append(bits.ue() + 1)
    return tuple(unmarked)


def _check_deblocking(bits: BitReader) -> None:
    mode = bits.ue()
    demand(mode <= 2, "an unknown mode of deblocking")
    demand(mode == 1 or all(abs(bits.se()) <= 6 for _ in range(2)), "a deblocking offset out of bounds")
