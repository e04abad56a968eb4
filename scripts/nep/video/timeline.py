"""When the pictures of a video are shown, and where a split time falls among them."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from nep.rows.quarantine import Reason, Rejection


@dataclass(frozen=True)
class Timeline:
    """Time stamps (PTS) of all pictures, ascending, and the last one's duration, in units of `time_base` seconds."""

    pts: tuple[int, ...]
    last_duration: int
    time_base: Fraction

    @property
    def duration(self) -> Fraction:
        """Seconds from the first picture's time stamp to the end of the last picture."""
        return (self.pts[-1] - self.pts[0] + self.last_duration) * self.time_base


def typical_step(pts: Sequence[int]) -> int:
    """Median distance of neighbours, 0 for a single picture: a duration where the file does not say."""
    steps = sorted(right - left for left, right in itertools.pairwise(pts))
    return steps[len(steps) // 2] if steps else 0


def cut_pts(timeline: Timeline, split_time: float) -> int:
    """The smallest time stamp, in the stream's units, that lies `split_time` seconds or more after the first picture's.

    Pictures with PTS < cut are the first part, pictures with PTS ≥ cut the second. `split_time` counts as the decimal
    number that it was written as; the arithmetic is exact. Raises Rejection (split_outside_video) unless
    0 < split_time < duration and both parts get a picture.
    """
    time = Fraction(str(split_time))
    where = f"split at {split_time:g} s, duration {float(timeline.duration):.3f} s"
    if not 0 < time < timeline.duration:
        raise Rejection(Reason.SPLIT_OUTSIDE_VIDEO, where)
    cut = timeline.pts[0] + math.ceil(time / timeline.time_base)
    if cut > timeline.pts[-1]:
        raise Rejection(Reason.SPLIT_OUTSIDE_VIDEO, f"{where}: no picture is left for the second part")
    return cut
