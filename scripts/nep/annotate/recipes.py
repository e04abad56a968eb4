"""The recipes: from a plain video to its annotation, and the gates on the way."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from nep.annotate import interview
from nep.annotate.answers import CausalAnalysis, Prediction, SplitCaptions
from nep.annotate.cut import Boundary, Cut, event_boundary, fault_of_cut, move_cut
from nep.annotate.interview import Interview
from nep.annotate.rows import AnnotatedVideo, TimedEvent
from nep.config.annotate import RecipeName
from nep.rows.quarantine import Reason, Rejection

MIN_EVENTS = 2


@dataclass(frozen=True)
class Draft:
    """What a recipe finds out about a video."""

    caption: str
    events: Sequence[TimedEvent]
    last_scene: int
    placed: float
    cut: Cut
    parts: SplitCaptions
    thought: Prediction


async def annotate_video(asked: Interview) -> AnnotatedVideo:
    """The annotation of a video. Raises Rejection with the gate that it does not pass, or the answer that it lacks."""
    annotate, video = asked.annotate, asked.video
    draft = await _RECIPES[annotate.recipe](asked)
    more: dict[str, Any] = {}
    if annotate.verify:
        await _check_shown(asked, draft)
        more["verified"] = True
    if annotate.critique:
        judged = await interview.critique(asked, draft.parts, draft.thought)
        more |= {"critique": judged.critique, "conclusion": judged.conclusion}
    if annotate.hindsight:
        more["hindsight"] = await interview.hindsight(asked, draft.parts)
    return AnnotatedVideo(
        id=video.id,
        video_path=video.video,
        duration=video.duration,
        caption=draft.caption,
        events=tuple(draft.events),
        split_scene=draft.last_scene,
        cut=draft.cut.time,
        placed=draft.placed,
        boundary=draft.cut.boundary,
        caption_part1=draft.parts.caption_part1,
        caption_part2=draft.parts.caption_part2,
        reasoning=draft.thought.reasoning,
        prediction=draft.thought.prediction,
        **more,
    )


async def published(asked: Interview) -> Draft:
    """The chain that made V1-33K (arXiv 2505.22457): one small question a step."""
    caption = await interview.caption(asked)
    events = await interview.caption_events(asked, caption)
    _check_events(events)
    analysis = await interview.causal_analysis(asked, events)
    _check_suitable(analysis)
    last = analysis.last_scene
    parts = await interview.split_captions(asked, caption.caption, events, last)
    placed = await interview.place_cut(asked, parts)
    cut = _cut(asked, placed, events, last, [(event_boundary(events, last, asked.spacing), "event")])
    thought = await interview.rewrite(asked, await interview.predict(asked, parts.caption_part1))
    return Draft(caption.caption, events, last, placed, cut, parts, thought)


async def timed_events(asked: Interview) -> Draft:
    """Fewer, richer questions: the cut is where the events that were seen say it is."""
    watched = await interview.watch(asked)
    events = watched.events
    _check_events(events)
    plan = await interview.plan(asked, watched)
    _check_suitable(plan)
    placed = event_boundary(events, plan.last_scene, asked.spacing)
    cut = _cut(asked, placed, events, plan.last_scene, [])
    parts = SplitCaptions(caption_part1=plan.caption_part1, caption_part2=plan.caption_part2)
    thought = await interview.foretell(asked, parts.caption_part1)
    return Draft(watched.caption, events, plan.last_scene, placed, cut, parts, thought)


_RECIPES: Mapping[RecipeName, Callable[[Interview], Awaitable[Draft]]] = {
    "published": published,
    "timed_events": timed_events,
}


def _cut(
    asked: Interview,
    placed: float,
    events: Sequence[TimedEvent],
    last_scene: int,
    boundaries: Sequence[tuple[float, Boundary]],
) -> Cut:
    """The cut at the nearest of these boundaries and those of shots that divides the events as planned.

    Raises Rejection (cut_outside) where the cut as placed does not.
    """
    annotate, video = asked.annotate, asked.video
    fault_at = partial(
        fault_of_cut, events=events, last_scene=last_scene, duration=video.duration, min_part_s=annotate.min_part_s
    )
    # What was placed must divide the events by itself: a boundary must not hide that two answers contradict each other.
    if fault := fault_at(placed):
        raise Rejection(Reason.CUT_OUTSIDE, fault)
    shots: list[tuple[float, Boundary]] = [(time, "shot") for time in video.boundaries]
    fitting = [boundary for boundary in (*boundaries, *shots) if not fault_at(boundary[0])]
    return move_cut(placed, fitting, annotate.tolerance_s)


def _check_events(events: Sequence[TimedEvent]) -> None:
    if len(events) < MIN_EVENTS:
        raise Rejection(
            Reason.TOO_FEW_EVENTS, f"a video must have {MIN_EVENTS} events at least, found {events[0].description!r}"
        )


def _check_suitable(analysis: CausalAnalysis) -> None:
    if analysis.suitable == "no":
        raise Rejection(Reason.UNSUITABLE, analysis.reasoning)


async def _check_shown(asked: Interview, draft: Draft) -> None:
    shown = await interview.verify(asked, draft.parts, draft.cut.time)
    missing = [part for part, seen in (("first", shown.first_part), ("second", shown.second_part)) if seen == "no"]
    if missing:
        raise Rejection(
            Reason.NOT_SHOWN, f"the {' and the '.join(missing)} part does not show its caption: {shown.reasoning}"
        )
