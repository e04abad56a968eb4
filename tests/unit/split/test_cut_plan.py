"""The plan of a cut, for random orders of frames: nothing lost, nothing twice, time stamps that MP4 allows."""

import itertools
import random
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nep.split.cut_plan import plan_cut, plan_whole
from nep.split.mp4 import decode_times
from nep.video.packets import IrregularStreamError, PacketList
from nep.video.timeline import Timeline


def coded(shown: list[int], gops: list[int], depth: int, seed: int) -> PacketList:
    """Frames in a decode order: GOPs that begin with an IDR picture, within them short runs shuffled."""
    chance = random.Random(seed)
    pts, idr = [], []
    place = 0
    for size in gops:
        first, *rest = shown[place : place + size]
        for start in range(0, len(rest), depth):
            run = rest[start : start + depth]
            chance.shuffle(run)
            rest[start : start + depth] = run
        pts += [first, *rest]
        idr += [True, *([False] * len(rest))]
        place += size
    return PacketList(tuple(pts), tuple(idr), Timeline(tuple(shown), 2, Fraction(1, 30)), frozenset({0, 1}))


@st.composite
def streams(draw: st.DrawFn) -> tuple[PacketList, int]:
    gops = draw(st.lists(st.integers(1, 12), min_size=1, max_size=5).filter(lambda sizes: sum(sizes) > 1))
    steps = draw(st.lists(st.integers(1, 4), min_size=sum(gops), max_size=sum(gops)))
    shown = [sum(steps[: place + 1]) for place in range(len(steps))]
    packets = coded(shown, gops, draw(st.integers(1, 5)), draw(st.integers(0, 99)))
    return packets, draw(st.integers(shown[0] + 1, shown[-1]))


@given(streams())
def test_each_picture_is_in_the_part_that_it_belongs_to(drawn: tuple[PacketList, int]) -> None:
    packets, cut = drawn
    plan = plan_cut(packets, cut)
    assert sorted(plan.first_pts) == [pts for pts in packets.timeline.pts if pts < cut]
    assert sorted(plan.second_pts) == [pts for pts in packets.timeline.pts if pts >= cut]
    copied = {*packets.pts[: plan.head_end], *packets.pts[plan.tail_start :]}
    assert copied.isdisjoint(plan.reencoded)
    assert copied | plan.reencoded == set(packets.pts)
    assert packets.idr[0] and (plan.tail_start == len(packets.pts) or packets.idr[plan.tail_start])
    if plan.reencoded:
        assert packets.idr[plan.decode_start]
        needed = [place for place, pts in enumerate(packets.pts) if pts in plan.reencoded]
        assert plan.decode_start <= needed[0] and needed[-1] < plan.tail_start
    assert plan.encoder_id == 2


@given(streams())
def test_decode_times_are_what_mp4_asks_for(drawn: tuple[PacketList, int]) -> None:
    packets, cut = drawn
    for pts in filter(None, (plan_cut(packets, cut).first_pts, plan_cut(packets, cut).second_pts, packets.pts)):
        dts = decode_times(pts)
        assert all(left < right for left, right in itertools.pairwise(dts))
        assert all(decoded <= shown for decoded, shown in zip(dts, pts, strict=True))
        assert any(decoded == shown for decoded, shown in zip(dts, pts, strict=True))


def test_a_whole_video_is_copied() -> None:
    packets = coded([1, 2, 3, 4], [4], 3, 0)
    plan = plan_whole(packets)
    assert (plan.first_pts, plan.second_pts, plan.reencoded) == (packets.pts, (), frozenset())


def test_all_ids_taken() -> None:
    packets = PacketList((1, 2), (True, False), Timeline((1, 2), 1, Fraction(1, 30)), frozenset(range(40)))
    with pytest.raises(IrregularStreamError, match="ids of parameter sets"):
        plan_cut(packets, 2)
