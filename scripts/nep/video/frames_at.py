"""The frames of a video that are shown at given times, for the work of few pictures where the file lets it."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from nep.rows.quarantine import Reason, Rejection
from nep.video.frame_selection import index_pictures, selected_frames
from nep.video.h264_headers import IrregularStreamError
from nep.video.probe import decoded_frames, decoding, probe
from nep.video.rgb import RgbConverter
from nep.video.stream import open_video

Made = TypeVar("Made")


def frames_at(path: Path, times: Sequence[float], make: Callable[[NDArray[np.uint8]], Made]) -> list[Made]:
    """What `make` makes of the frame, uint8 RGB (H, W, 3), that is shown at each of `times`.

    Times are seconds from the first frame; before it the first one is taken, after the end the last one. Raises
    Rejection (undecodable_video) for a file that cannot be read.
    """
    with decoding(Reason.UNDECODABLE_VIDEO):
        try:
            return _of_selected(path, times, make)
        except IrregularStreamError:
            return _of_all(path, times, make)


def shown_at(pts: Sequence[int], time_base: Fraction, seconds: float) -> int:
    """Place in `pts` (ascending, in units of `time_base` seconds) of the picture that is shown at a time."""
    moment = pts[0] + Fraction(str(seconds)) / time_base
    return max(0, bisect_right(pts, moment) - 1)


def _of_selected(path: Path, times: Sequence[float], make: Callable[[NDArray[np.uint8]], Made]) -> list[Made]:
    with open_video(path) as (container, stream):
        index = index_pictures(container, stream)
    with open_video(path) as (container, stream):
        pts = [index.pts[number] for number in index.shown]
        places = [shown_at(pts, stream.time_base, seconds) for seconds in times]
        convert = RgbConverter()
        made = {place: make(convert(frame)) for place, frame in selected_frames(container, stream, index, set(places))}
    if made.keys() != set(places):
        raise IrregularStreamError("a frame that is asked for is not decoded")
    return [made[place] for place in places]


def _of_all(path: Path, times: Sequence[float], make: Callable[[NDArray[np.uint8]], Made]) -> list[Made]:
    timeline = probe(path)
    places = [shown_at(timeline.pts, timeline.time_base, seconds) for seconds in times]
    wanted, convert = set(places), RgbConverter()
    with open_video(path) as (container, stream):
        frames = enumerate(decoded_frames(container, stream))
        made = {place: make(convert(frame)) for place, frame in frames if place in wanted}
    if made.keys() != wanted:
        raise Rejection(Reason.UNDECODABLE_VIDEO, "the number of decoded frames changes from one pass to the next")
    return [made[place] for place in places]
