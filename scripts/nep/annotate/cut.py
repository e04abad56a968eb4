"""Where a video is cut: from what models said, and the boundaries that are known."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from nep.annotate.rows import TimedEvent

Boundary = Literal["shot", "event"]
# A cut keeps the decimals that shot boundaries have.
DECIMALS = 6


@dataclass(frozen=True)
class Cut:
    """A moment in seconds, and the kind of boundary that it was moved to, None where it stayed."""

    time: float
    boundary: Boundary | None


def event_boundary(events: Sequence[TimedEvent], last_scene: int, spacing: float) -> float:
    """The end of an event (1-based) before the next one begins, of frames that are `spacing` seconds apart.

    It ends between the last frame that shows it and the one after: of a longer pause the rest may prepare what comes.
    """
    before, after = events[last_scene - 1], events[last_scene]
    if after.start <= before.end:
        return round(after.start, DECIMALS)
    return round(before.end + min(spacing, after.start - before.end) / 2, DECIMALS)


def move_cut(placed: float, boundaries: Sequence[tuple[float, Boundary]], tolerance_s: float) -> Cut:
    """The cut at the nearest boundary that is no farther than `tolerance_s`; of two, the earlier one shows less."""
    near = [(abs(time - placed), time, kind) for time, kind in boundaries if abs(time - placed) <= tolerance_s]
    if not near:
        return Cut(round(placed, DECIMALS), None)
    _, time, kind = min(near)
    return Cut(time, kind)


def fault_of_cut(
    time: float, events: Sequence[TimedEvent], last_scene: int, duration: float, min_part_s: float
) -> str | None:
    """What is wrong with a cut: a part would be too short, or it does not divide the events as planned, which is after
    the start of the event `last_scene` (1-based) and before the end of the next one. None where nothing is."""
    if not min_part_s <= time <= duration - min_part_s:
        return f"a cut at {time:g} s of {duration:g} s leaves a part of less than annotate.min_part_s, {min_part_s:g} s"
    begins, ends = events[last_scene - 1].start, events[last_scene].end
    if not begins < time < ends:
        return (
            f"a cut at {time:g} s is not between Scene {last_scene}, which begins at {begins:g} s, and "
            f"Scene {last_scene + 1}, which ends at {ends:g} s"
        )
    return None
