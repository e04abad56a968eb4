"""Which events of a video a question of each kind asks about."""

from dataclasses import dataclass

from nep.annotate.rows import AnnotatedVideo
from nep.rows.quarantine import Reason, Rejection
from nep.rows.question import Kind

HOPS = {"hop1": 1, "hop2": 2, "hop3": 3}
# An interpolation hides at most so many events before the one that it tells.
HIDDEN_EVENTS = 2


@dataclass(frozen=True)
class Asked:
    """The events that the right answer holds, and the later one that the question tells (interpolation)."""

    happens: tuple[str, ...]
    told: str | None = None


def events_before(video: AnnotatedVideo) -> tuple[str, ...]:
    """What happens in the first part, in order."""
    return tuple(event.description for event in video.events[: video.split_scene])


def events_after(video: AnnotatedVideo) -> tuple[str, ...]:
    """What happens in the second part, in order."""
    return tuple(event.description for event in video.events[video.split_scene :])


def asked_events(video: AnnotatedVideo, kind: Kind) -> Asked:
    """What a question of this kind is about. Raises Rejection (too_few_events) where the second part has too few."""
    after = events_after(video)
    needed = HOPS.get(kind, 2)
    if len(after) < needed:
        found = f"found {len(after)} after the cut at {video.cut:g} s"
        raise Rejection(Reason.TOO_FEW_EVENTS, f"{kind} asks about {needed} events, {found}")
    if kind in HOPS:
        return Asked(after[:needed])
    hidden = min(HIDDEN_EVENTS, len(after) - 1)
    return Asked(after[:hidden], told=after[hidden])
