"""The pictures of an H.264 stream, from headers alone: in which order they are shown, and which each of them may read.

Rec. ITU-T H.264, clauses 8.2.1 (picture order count), 8.2.4 (reference lists) and 8.2.5 (marking).
"""

import itertools
from bisect import bisect_right, insort
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from nep.video.h264_headers import (
    IDR_SLICE,
    PPS,
    SLICE,
    SPS,
    BitWriter,
    IrregularStreamError,
    P,
    PocCounter,
    Pps,
    SliceHeader,
    Sps,
    configured_sets,
    demand,
    nal_units,
    parse_pps,
    parse_slice,
    parse_sps,
)

# Supplemental information, access unit delimiters, filler: they change neither pictures nor their order.
IGNORED_NALS = frozenset({6, 9, 12})
# Of the 256 numbers of picture parameter sets, the one that `stand_in` takes for itself.
STAND_IN_PPS = 255

# Parameter sets as NAL units, by (type, number).
ParameterSets = Mapping[tuple[int, int], bytes]


@dataclass(frozen=True, slots=True)
class Picture:
    """A coded frame, `number` in decoding order and `order` (from the last IDR picture on) in that of display.

    `references` holds the numbers of all pictures that decoding it may read. `sets` are the parameter sets that hold.
    """

    number: int
    order: int
    header: SliceHeader
    references: frozenset[int]
    sets: ParameterSets
    sps: Sps
    pps: Pps

    @property
    def starts(self) -> bool:
        """Whether it is an IDR picture: nothing that is decoded after it reads, or is shown before, what is earlier."""
        return self.header.idr

    @property
    def is_reference(self) -> bool:
        """Whether pictures after it may read it."""
        return self.header.reference_idc > 0


@dataclass(frozen=True, slots=True)
class _Reference:
    number: int
    frame_num: int
    order: int


class PictureReader:
    """Reads the packets of a stream in decoding order, and follows what a decoder keeps from one to the next.

    Every method raises IrregularStreamError where the stream is not one picture a packet, complete, in order and as it
    declares.
    """

    def __init__(self, extradata: bytes) -> None:
        """Start with a container's decoder configuration: an avcC box, or parameter sets after start codes."""
        boxed = extradata[:1] == b"\1"
        self.length_size = (extradata[4] & 3) + 1 if boxed and len(extradata) > 4 else 0
        demand(self.length_size in (0, 4), f"NAL lengths of {self.length_size} bytes")
        self._sets: ParameterSets = {}
        self._spses: dict[int, Sps] = {}
        self._ppses: dict[int, Pps] = {}
        self._sps: Sps | None = None
        self._references: list[_Reference] = []
        self._count = 0
        self._restart()
        for nal in configured_sets(extradata) if boxed else _units(extradata):
            self._learn(nal)
        self.configured = self._sets

    def read(self, packet: memoryview) -> Picture:
        """The picture of the next packet."""
        slices: list[SliceHeader] = []
        parameters: set[tuple[Sps, Pps]] = set()
        for nal in nal_units(packet, self.length_size):
            kind = nal[0] & 31
            demand(nal[0] < 128, "a NAL unit with its forbidden bit set")
            if kind in (SPS, PPS):
                demand(not slices, "parameter sets behind a slice")
                self._learn(bytes(nal))
            elif kind in (SLICE, IDR_SLICE):
                header, sps, pps = parse_slice(nal, self._spses, self._ppses)
                slices.append(header)
                parameters.add((sps, pps))
            else:
                demand(kind in IGNORED_NALS, f"NAL units of type {kind}")
        demand(bool(slices) and slices[0].first_mb == 0, "a packet without the start of a picture")
        demand(all(a.first_mb < b.first_mb for a, b in itertools.pairwise(slices)), "slices out of order")
        demand(len({item.picture for item in slices}) == 1, "slices of several pictures in a packet")
        demand(len(parameters) == 1, "slices of a picture with unequal parameter sets")
        return self._picture(slices, *parameters.pop())

    def _learn(self, nal: bytes) -> None:
        parsed = parse_sps(nal) if nal[0] & 31 == SPS else parse_pps(nal)
        demand(not (isinstance(parsed, Sps) and parsed.gaps), "gaps in frame_num are allowed")
        key = (nal[0] & 31, parsed.identity)
        if self._sets.get(key) == nal:
            return
        kept = dict(self._sets)
        if isinstance(parsed, Sps):
            # A sequence set that changes takes its picture sets with it.
            for identity in [pps.identity for pps in self._ppses.values() if pps.sps == parsed.identity]:
                del self._ppses[identity], kept[PPS, identity]
            self._spses[parsed.identity] = parsed
        else:
            demand(parsed.identity != STAND_IN_PPS, "all numbers of picture parameter sets are taken")
            self._ppses[parsed.identity] = parsed
        self._sets = {**kept, key: nal}

    def _picture(self, slices: Sequence[SliceHeader], sps: Sps, pps: Pps) -> Picture:
        header = slices[0]
        if header.idr:
            demand(header.frame_num == 0, "an IDR picture with a frame_num")
            demand(self._sps is None or self._sps.picture == sps.picture, "pictures of several formats")
            self._sps = sps
            self._restart()
        demand(sps is self._sps, "a stream that does not begin, or changes its parameters, at an IDR picture")
        order = self._place(header, sps)
        lists = frozenset(item.number for each in slices for item in self._lists(each, order, sps))
        picture = Picture(self._count, order, header, lists, self._sets, sps, pps)
        self._keep(picture)
        return picture

    def _restart(self) -> None:
        self._references.clear()
        self._orders: list[int] = []
        self._last_frame_num = self._reference_frame_num = self._frame_num_offset = 0
        self._counter = PocCounter()

    def _place(self, header: SliceHeader, sps: Sps) -> int:
        """The picture order count."""
        modulus = 1 << sps.frame_num_bits
        demand(header.idr or header.frame_num == (self._reference_frame_num + 1) % modulus, "a missing picture")
        if sps.poc_lsb_bits:
            counted = self._counter.count(header.poc_lsb, sps.poc_lsb_bits, is_reference=header.reference_idc > 0)
            order = counted + min(0, header.poc_delta_bottom)
        else:
            order = self._coded(header, modulus)
        place = bisect_right(self._orders, order)
        # A decoder that expects less reordering than there is drops frames.
        demand(len(self._orders) - place <= (sps.reorder or 0), "more reordering than is declared")
        demand(place == 0 or self._orders[place - 1] < order, "two pictures at one place")
        insort(self._orders, order)
        return order

    def _coded(self, header: SliceHeader, modulus: int) -> int:
        if header.frame_num < self._last_frame_num:
            self._frame_num_offset += modulus
        self._last_frame_num = header.frame_num
        return 2 * (self._frame_num_offset + header.frame_num) - (header.reference_idc == 0)

    def _lists(self, header: SliceHeader, order: int, sps: Sps) -> Iterator[_Reference]:
        """The active entries of a slice's reference lists."""
        modulus = 1 << sps.frame_num_bits
        by_number = self._by_number(header, modulus)
        for initial, count, changes in zip(self._initial(header, order), header.active, header.changes, strict=True):
            entries = initial[:count]
            number = header.frame_num
            for place, (adds, difference) in enumerate(changes):
                number = (number + (difference if adds else -difference)) % modulus
                moved = by_number.get(number - modulus if number > header.frame_num else number)
                if moved is None:
                    raise IrregularStreamError("a reference that is not there")
                entries = [*entries[:place], moved, *(item for item in entries[place:] if item != moved)][:count]
            demand(len(entries) == count, "a reference that is not there")
            yield from entries

    def _initial(self, header: SliceHeader, order: int) -> tuple[list[_Reference], list[_Reference]]:
        if header.kind == P:
            # The newest first: as no picture is missing, that is by frame_num.
            return self._references[::-1], []
        ordered = sorted(self._references, key=lambda item: item.order)
        before = [item for item in reversed(ordered) if item.order < order]
        after = [item for item in ordered if item.order > order]
        first, second = before + after, after + before
        if len(second) > 1 and first == second:
            second[:2] = second[1::-1]
        return first, second

    def _by_number(self, header: SliceHeader, modulus: int) -> dict[int, _Reference]:
        """References by PicNum."""
        return {
            item.frame_num - modulus if item.frame_num > header.frame_num else item.frame_num: item
            for item in self._references
        }

    def _keep(self, picture: Picture) -> None:
        header, limit = picture.header, max(1, picture.sps.max_references)
        self._count += 1
        if not header.reference_idc:
            return
        self._reference_frame_num = header.frame_num
        if header.unmark is None:
            del self._references[: max(0, len(self._references) - limit + 1)]
        else:
            by_number = self._by_number(header, 1 << picture.sps.frame_num_bits)
            for difference in header.unmark:
                unmarked = by_number.pop(header.frame_num - difference, None)
                if unmarked is None:
                    raise IrregularStreamError("the end of a reference that is not there")
                self._references.remove(unmarked)
        self._references.append(_Reference(picture.number, header.frame_num, picture.order))
        demand(len(self._references) <= limit, "more references than are declared")


def _units(extradata: bytes) -> Iterator[bytes]:
    """The parameter sets of a configuration with start codes; none of an empty one."""
    units = nal_units(memoryview(extradata), 0) if extradata else ()
    yield from (bytes(nal) for nal in units if nal[0] & 31 in (SPS, PPS))


def stand_in(picture: Picture) -> tuple[bytes, bytes]:
    """NAL units that take the place of a reference picture that nothing reads: parameter set and slice.

    A P picture with every macroblock skipped, which CAVLC says in one code word, with the same frame_num, order and
    marking: after it a decoder's state is the same but for this picture's samples and motion vectors.
    """
    return _stand_in_parameters(picture), _skipped_slice(picture)


def _stand_in_parameters(picture: Picture) -> bytes:
    bits = BitWriter()
    bits.ue(STAND_IN_PPS)
    bits.ue(picture.sps.identity)
    # CAVLC.
    bits.u(0, 1)
    bits.u(picture.pps.bottom_poc, 1)
    # One slice group, one reference in each list.
    for _ in range(3):
        bits.ue(0)
    # No weights.
    bits.u(0, 3)
    # Quantisers.
    for _ in range(3):
        bits.se(0)
    # Deblocking is controlled by the slice; no constrained intra prediction, no redundant pictures.
    bits.u(0b100, 3)
    return bits.nal(3 << 5 | PPS)


def _skipped_slice(picture: Picture) -> bytes:
    header, sps = picture.header, picture.sps
    bits = BitWriter()
    bits.ue(0)
    bits.ue(P)
    bits.ue(STAND_IN_PPS)
    bits.u(header.frame_num, sps.frame_num_bits)
    if not sps.frame_only:
        bits.u(0, 1)
    bits.u(header.poc_lsb, sps.poc_lsb_bits)
    if sps.poc_lsb_bits and picture.pps.bottom_poc:
        bits.se(header.poc_delta_bottom)
    # The default number of references, an unmodified list.
    bits.u(0, 2)
    bits.u(header.unmark is not None, 1)
    if header.unmark is not None:
        for difference in header.unmark:
            bits.ue(1)
            bits.ue(difference - 1)
        bits.ue(0)
    bits.se(0)
    # No deblocking.
    bits.ue(1)
    bits.ue(sps.macroblocks)
    return bits.nal(header.reference_idc << 5 | SLICE)
