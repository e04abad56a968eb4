"""Which events of a video a question of each kind asks about."""

from dataclasses import dataclass

from nep.annotate.rows import AnnotatedVideo, TimedEvent
from nep.config.questions import Kind
from nep.rows.quarantine import Reason, Rejection

HOPS = {"hop1": 1, "hop2": 2, "hop3": 3}
# An interpolation hides at most so many events before the one that it tells.
HIDDEN_EVENTS = 2
# Times are written with milliseconds.
_SAME_TIME_S = 1e-3


@dataclass(frozen=True)
class Asked:
    """The events that the right answer holds, and the later one that the question tells (interpolation)."""

    happens: tuple[str, ...]
    told: str | None = None


def events_before(video: AnnotatedVideo) -> list[TimedEvent]:
    """Events that begin before the cut, also those that it divides."""
    return [event for event in video.events if not _is_after(event, video)]


def events_after(video: AnnotatedVideo) -> list[TimedEvent]:
    """Events that begin at the cut or later."""
    return [event for event in video.events if _is_after(event, video)]


def asked_events(video: AnnotatedVideo, kind: Kind) -> Asked:
    """What a question of this kind is about. Raises Rejection (too_few_events) where the second part has too few."""
    after = [event.description for event in events_after(video)]
    needed = HOPS.get(kind, 2)
    if len(after) < needed:
        found = f"found {len(after)} after the cut at {video.cut:g} s"
        raise Rejection(Reason.TOO_FEW_EVENTS, f"{kind} asks about {needed} events, {found}")
    if kind in HOPS:
        return Asked(tuple(after[:needed]))
    hidden = min(HIDDEN_EVENTS, len(after) - 1)
    return Asked(tuple(after[:hidden]), told=after[hidden])


def _is_after(event: TimedEvent, video: AnnotatedVideo) -> bool:
    return event.start >= video.cut - _SAME_TIME_S
