"""Which packets of a video are copied into which part, and which frames are re-encoded: pure arithmetic."""

import bisect
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from nep.video.packets import IrregularStreamError, PacketList


@dataclass(frozen=True)
class CutPlan:
    """A cut, in places of packets in decode order and in PTS.

    Packets [0, head_end) are copied to the first part, [tail_start, ∞) to the second. The frames `first_reencoded` and
    `second_reencoded` (ascending) are decoded from [decode_start, tail_start) and encoded: those of the first part that
    are stored among frames of the second, and those of the second part up to the first frame at which decoding can
    start. `first_pts` and `second_pts`: all frames of each part, in the order in which they are written. `durations`
    holds every frame's duration by its PTS; `encoder_id` is an id of parameter sets that the source does not use.
    """

    head_end: int
    tail_start: int
    decode_start: int
    first_reencoded: tuple[int, ...]
    second_reencoded: tuple[int, ...]
    first_pts: tuple[int, ...]
    second_pts: tuple[int, ...]
    durations: dict[int, int]
    encoder_id: int

    @cached_property
    def reencoded(self) -> frozenset[int]:
        """PTS of all frames to encode."""
        return frozenset((*self.first_reencoded, *self.second_reencoded))

    @cached_property
    def last_of_first(self) -> int:
        """PTS of the first part's last frame."""
        return max(self.first_pts)


def plan_cut(packets: PacketList, cut: int) -> CutPlan:
    """Plan the cut of a stream into PTS < `cut` and PTS ≥ `cut`; both sides must have a frame."""
    head_end, first_reencoded = _first_part(packets, cut)
    tail_start = _first_separate_idr(packets, cut)
    second_reencoded = tuple(sorted(pts for pts in packets.pts[:tail_start] if pts >= cut))
    second_pts = (*second_reencoded, *packets.pts[tail_start:])
    return _plan(packets, head_end, tail_start, first_reencoded, second_reencoded, second_pts)


def plan_first(packets: PacketList, cut: int) -> CutPlan:
    """Plan the first part alone, as `plan_cut` plans it; nothing from `tail_start` on is read."""
    head_end, first_reencoded = _first_part(packets, cut)
    reencoded = set(first_reencoded)
    tail_start = max((place + 1 for place, pts in enumerate(packets.pts) if pts in reencoded), default=head_end)
    return _plan(packets, head_end, tail_start, first_reencoded, (), ())


def plan_whole(packets: PacketList) -> CutPlan:
    """Copy all packets to the first part."""
    return _plan(packets, len(packets.pts), len(packets.pts), (), (), ())


def _first_part(packets: PacketList, cut: int) -> tuple[int, tuple[int, ...]]:
    """`head_end` and `first_reencoded` of a plan."""
    shown = packets.timeline.pts
    before = bisect.bisect_left(shown, cut)
    head_end = _contiguous_prefix(packets.pts, shown[:before])
    return head_end, shown[head_end:before]


def _plan(
    packets: PacketList,
    head_end: int,
    tail_start: int,
    first_reencoded: tuple[int, ...],
    second_reencoded: tuple[int, ...],
    second_pts: tuple[int, ...],
) -> CutPlan:
    reencoded = {*first_reencoded, *second_reencoded}
    needed = next((place for place, pts in enumerate(packets.pts) if pts in reencoded), None)
    return CutPlan(
        head_end=head_end,
        tail_start=tail_start,
        decode_start=tail_start if needed is None else _last_idr(packets, needed),
        first_reencoded=first_reencoded,
        second_reencoded=second_reencoded,
        first_pts=(*packets.pts[:head_end], *first_reencoded),
        second_pts=second_pts,
        durations=packets.timeline.durations,
        encoder_id=_unused_id(packets.parameter_ids),
    )


def _contiguous_prefix(pts: Sequence[int], wanted: Sequence[int]) -> int:
    """Length of the longest prefix of `pts` that is, as a set, a prefix of the ascending `wanted`."""
    longest, latest = 0, None
    for count, stamp in enumerate(pts[: len(wanted)], start=1):
        if stamp > wanted[-1]:
            break
        latest = stamp if latest is None else max(latest, stamp)
        if latest == wanted[count - 1]:
            longest = count
    return longest


def _first_separate_idr(packets: PacketList, cut: int) -> int:
    """Place of the first IDR packet at or after `cut` before which all earlier, and no later, packets are shown."""
    latest_before = [None, *itertools.accumulate(packets.pts, max)]
    earliest_after = list(itertools.accumulate(reversed(packets.pts), min))[::-1]
    for place, (idr, pts) in enumerate(zip(packets.idr, packets.pts, strict=True)):
        if idr and place and pts >= cut and latest_before[place] < pts == earliest_after[place]:
            return place
    return len(packets.pts)


def _last_idr(packets: PacketList, place: int) -> int:
    """Place of the last IDR packet up to `place`."""
    return max(earlier for earlier in range(place + 1) if packets.idr[earlier])


def _unused_id(taken: frozenset[int]) -> int:
    # x264 gives both of its parameter sets the id that it is told, 31 at most.
    for number in range(1, 32):
        if number not in taken:
            return number
    raise IrregularStreamError("all ids of parameter sets are taken")
