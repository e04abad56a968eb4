"""A first part that is made alone: the split stage's own to the byte, whatever comes after the cut."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.video.frame import VideoFrame
from numbered import COPIED, KINDS, X264, Kind, frame, make
from numpy.typing import NDArray
from support.matrix import MATRIX
from support.splits import split

from nep.split import stream_copy
from nep.split.cut_plan import CutPlan

# Kinds that differ in what the cut has to do: re-encoding, references from later pictures, an encode of the whole.
SOME = {"b_frames.mp4", "one_gop.mp4", "mpeg4.avi"}
# Only the second part cannot be copied; alone, the first one is, and shows the source's very pixels.
HALF_COPIED = {"interlaced.mp4"}
# A picture depends on no later one: not in what it refers to, nor in how the encoder chose to code it.
FORGETFUL = ("-bf", "0", "-g", "24", "-x264-params", "rc-lookahead=0:mbtree=0:scenecut=0")
HIDDEN = 30
MOMENT = HIDDEN / 24


@pytest.mark.parametrize(
    "kind",
    [kind if kind.name in SOME else pytest.param(kind, marks=MATRIX) for kind in KINDS if kind.frames > HIDDEN],
    ids=lambda kind: kind.name,
)
def test_it_is_the_one_that_is_made_with_the_second(kind: Kind, tmp_path: Path) -> None:
    source = make(kind, tmp_path)
    for time in (0.4, 1.3) if kind.name in COPIED else (1.3,):
        both = split(source, time, tmp_path / "both")
        alone = split(source, time, tmp_path / "alone", first_alone=True)
        assert both["status"] == "ok", both
        assert alone["second"] is None
        if kind.name in HALF_COPIED:
            assert (alone["way"], both["way"]) == ("copy", "encode")
            assert alone["first"]["frames"] == both["first"]["frames"]
        else:
            assert alone["first"] == both["first"]
            assert alone["way"] == ("copy" if kind.name in COPIED else "encode")
        assert not (tmp_path / "alone" / "segments" / "second").exists()


@pytest.mark.parametrize(
    "kind",
    [Kind("copied.mp4", (*X264, *FORGETFUL)), Kind("encoded.avi", ("-c:v", "mpeg4", "-q:v", "2", "-bf", "0"))],
    ids=lambda kind: kind.name,
)
def test_other_pictures_after_the_cut_change_no_byte_of_it(kind: Kind, tmp_path: Path) -> None:
    def changed(number: int) -> NDArray[np.uint8]:
        return frame(number) if number < HIDDEN else 255 - frame(3 * number)

    (tmp_path / "other").mkdir()
    first, other = make(kind, tmp_path), make(kind, tmp_path / "other", changed)
    assert first.read_bytes() != other.read_bytes()
    rows = [split(path, MOMENT, path.parent / "run", first_alone=True) for path in (first, other)]
    assert rows[0]["first"]["frames"] == HIDDEN
    assert rows[0]["first"] == rows[1]["first"]


def test_pictures_after_the_cut_may_be_garbage(tmp_path: Path) -> None:
    """No decoder gets them: in the whole cut, which re-encodes some of them, they are damaged pictures."""
    source = make(Kind("copied.mp4", (*X264, *FORGETFUL)), tmp_path)
    whole = split(source, MOMENT, tmp_path / "whole", first_alone=True)
    data = bytearray(source.read_bytes())
    with av.open(str(source)) as container:
        later = [
            packet for packet in container.demux(video=0) if packet.size and packet.pts * packet.time_base >= MOMENT
        ]
    for packet in later:
        # The headers stay, by which the packets are told apart.
        data[packet.pos + 24 : packet.pos + packet.size] = bytes(max(0, packet.size - 24))
    source.write_bytes(data)
    assert split(source, MOMENT, tmp_path / "both")["way"] == "encode"
    damaged = split(source, MOMENT, tmp_path / "damaged", first_alone=True)
    assert (damaged["way"], damaged["first"]) == ("copy", whole["first"])


@pytest.mark.parametrize(("name", "referred_to"), [("plain.mp4", 0), ("b_frames.mp4", 2)])
def test_of_later_pictures_those_are_decoded_that_earlier_ones_refer_to(
    name: str, referred_to: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    later: list[int] = []
    encode = stream_copy._encode

    def recorded(frames: Sequence[VideoFrame], plan: CutPlan, *parts: Any) -> None:
        later.extend(frame.pts for frame in frames if frame.pts > plan.last_of_first)
        encode(frames, plan, *parts)

    monkeypatch.setattr(stream_copy, "_encode", recorded)
    source = make(next(kind for kind in KINDS if kind.name == name), tmp_path)
    for time in (0.4, 1.3):
        later.clear()
        assert split(source, time, tmp_path, first_alone=True)["way"] == "copy"
        assert len(later) <= referred_to
