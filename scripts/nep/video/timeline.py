"""When the pictures of a video are shown, and where a split time falls among them."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from nep.rows.quarantine import Reason, Rejection

# H.264 reorders 16 frames at most: what jumps back farther is another clock, as where broadcasts are joined.
_JUMP_STEPS = 16


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

    @property
    def durations(self) -> dict[int, int]:
        """Every picture's duration by its PTS."""
        steps = [right - left for left, right in itertools.pairwise(self.pts)]
        return dict(zip(self.pts, [*steps, self.last_duration], strict=True))


def typical_step(pts: Sequence[int]) -> int:
    """Median distance of neighbours, 0 for a single picture: a duration where the file does not say."""
    steps = sorted(right - left for left, right in itertools.pairwise(pts))
    return steps[len(steps) // 2] if steps else 0


def best_effort(stamps: Sequence[tuple[int | None, int | None]], step: int) -> tuple[int, ...]:
    """Ascending time stamps of frames that are given in the order of display, each with the (PTS, DTS) that it has.

    PTS that ascend are taken as they are. Else, as in ffmpeg, the clock with fewer faults is: a demuxer that finds no
    PTS makes some up in the order of decoding, and the DTS of the packets that bring frames to light are then right.
    What still does not ascend is moved; where frames have no DTS either, they are `step` apart.
    """
    shown, decoded = [pts for pts, _ in stamps], [dts for _, dts in stamps]
    if not _faults(shown):
        return tuple(stamp for stamp in shown if stamp is not None)
    known = [stamp for stamp in decoded if stamp is not None]
    if not known:
        return tuple(place * step for place in range(len(stamps)))
    step = typical_step(known) or step
    best = min(shown, _continued(decoded, step), key=_faults)
    begin = next(place for place, stamp in enumerate(best) if stamp is not None)
    return _moved(best, best[begin] - (begin + 1) * step, step)


def _continued(stamps: list[int | None], step: int) -> list[int | None]:
    """Frames that come when no packet is left have no DTS: they follow the last one that has."""
    last = max(place for place, stamp in enumerate(stamps) if stamp is not None)
    return [*stamps[: last + 1], *(stamps[last] + step * more for more in range(1, len(stamps) - last))]


def _faults(stamps: Sequence[int | None]) -> int:
    known = [stamp for stamp in stamps if stamp is not None]
    return len(stamps) - len(known) + sum(right <= left for left, right in itertools.pairwise(known))


def _moved(stamps: Sequence[int | None], before: int, step: int) -> tuple[int, ...]:
    """Ascending stamps, the first after `before`: a jump back is a new start one step on, a small one a nudge."""
    moved: list[int] = []
    shift, last = 0, before
    for stamp in stamps:
        if stamp is None:
            last += step
        else:
            if stamp + shift <= last - _JUMP_STEPS * step:
                shift = last + step - stamp
            last = max(stamp + shift, last + 1)
        moved.append(last)
    return tuple(moved)


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
