"""What the scripted annotator answers to the steps of `nep.annotate`, about videos of the demo's world.

Steps with frames look at them; the others know no more than the texts that they are given.
"""

import re
from collections.abc import Callable
from itertools import groupby
from typing import Any

from support.annotator import ANSWERS, COLOURS, Event, Moment, Seen

from nep.demo.world import EVENTS_AFTER, JOINER, LAMPS, tell

TOLD = re.compile(r"(?P<start>\d+\.\d+)-(?P<end>\d+\.\d+) s\)?: (?P<colour>\w+)\.")
LAST_SCENE = re.compile(r"ends with Scene (\d+)")
NEXT_TITLE = r"(?=^(?:Caption|Notes|Events|First part|Second part|Reasoning|Prediction):$|^\d+\.\d+ s:$|\Z)"
SECOND = "Second part:"


def titled(seen: Seen, title: str) -> str:
    """The text below a title."""
    return re.search(rf"^{title}:\n(.*?){NEXT_TITLE}", seen.text, re.MULTILINE | re.DOTALL)[1].strip()


def colours_in(text: str) -> list[str]:
    """The colours that a text tells, in their order."""
    return [word for word in re.findall(r"\w+", text.lower()) if word in COLOURS]


def told_events(seen: Seen, title: str = "Events") -> list[re.Match]:
    """Events as the text below a title tells them, with their times."""
    return list(TOLD.finditer(titled(seen, title)))


def boundary(events: list[Event], before: int) -> float:
    """Seconds of the middle of the pause after so many events."""
    before = min(max(before, 1), len(events) - 1)
    return (events[before - 1].end + events[before].start) / 2


def caption(seen: Seen) -> dict[str, Any]:
    lines = (f"{event.start:.2f}-{event.end:.2f} s: {tell([event.colour])}." for event in seen.events)
    return {"caption": f"{tell([event.colour for event in seen.events])}.", "notes": "\n".join(lines)}


def caption_events(seen: Seen) -> dict[str, Any]:
    return {
        "events": [
            {"start": float(told["start"]), "end": float(told["end"]), "description": f"{told['colour']}."}
            for told in told_events(seen, "Notes")
        ]
    }


def watched(seen: Seen) -> dict[str, Any]:
    events = [
        {"start": event.start, "end": event.end, "description": f"{tell([event.colour])}."} for event in seen.events
    ]
    return {"events": events, "caption": f"{tell([event.colour for event in seen.events])}."}


def analysis(seen: Seen) -> dict[str, Any]:
    """A world is foretold once all lamps have been lit: the last events are the second part."""
    last = len(told_events(seen)) - EVENTS_AFTER
    if last < LAMPS:
        return {"reasoning": "Not all lamps were lit.", "suitable": "no", "optimal_split_point": "none"}
    point = f"between Scene {last} and Scene {last + 1}"
    return {"reasoning": "The ball goes on round the ring.", "suitable": "yes", "optimal_split_point": point}


def split_captions(seen: Seen, last: int | None = None) -> dict[str, Any]:
    last = int(LAST_SCENE.search(seen.text)[1]) if last is None else last
    colours = [told["colour"].lower() for told in told_events(seen)]
    return {"caption_part1": f"{tell(colours[:last])}.", "caption_part2": f"{tell(colours[last:])}."}


def plan(seen: Seen) -> dict[str, Any]:
    found = analysis(seen)
    last = max(1, len(told_events(seen)) - EVENTS_AFTER)
    return {**found, **split_captions(seen, last)}


def placed_cut(seen: Seen) -> dict[str, Any]:
    return {"time_s": boundary(seen.events, len(colours_in(titled(seen, "First part"))))}


def foretold(first: str) -> dict[str, Any]:
    """The lamps come round again."""
    colours = colours_in(first)
    following = [colours[len(colours) - LAMPS + step] for step in range(EVENTS_AFTER)]
    return {"reasoning": tell(following), "prediction": f"{tell(following)}."}


def prediction(seen: Seen) -> dict[str, Any]:
    return foretold(titled(seen, "Caption"))


def about_the_video(seen: Seen) -> dict[str, Any]:
    if seen.text.startswith("First part:"):
        return foretold(titled(seen, "First part"))
    return {"reasoning": titled(seen, "Reasoning"), "prediction": titled(seen, "Prediction")}


def shown(seen: Seen) -> dict[str, Any]:
    texts = [part for part in seen.parts if isinstance(part, str)]
    place = next(number for number, text in enumerate(texts) if text.startswith(SECOND))
    # Before the second part's title there is the first one's, and a time before each frame.
    first, second = seen.moments[: place - 1], seen.moments[place - 1 :]
    parts = {"First part": looked(seen, first, 0), "Second part": looked(seen, second, 1)}
    # The second part may begin while the last lamp of the first one is still lit.
    if parts["Second part"][:1] == colours_in(titled(seen, "First part"))[-1:]:
        del parts["Second part"][0]
    return {
        "reasoning": " ".join(f"{title}: {tell(colours)}." for title, colours in parts.items()),
        **{
            title.lower().replace(" ", "_"): yes_no(colours == colours_in(titled(seen, title)))
            for title, colours in parts.items()
        },
    }


def looked(seen: Seen, moments: list[Moment], part: int) -> list[str]:
    """Colours that light up in some frames, with the annotator's noise."""
    lit = [colour for colour, _ in groupby(moment.lit for moment in moments if moment.lit)]
    return [
        "?" if seen.noise.hits(seen.noise.wrong_looks, "look", seen.identity, part, number) else colour
        for number, colour in enumerate(lit)
    ]


def critique(seen: Seen) -> dict[str, Any]:
    happened, foretold_colours = (colours_in(titled(seen, title)) for title in ("Second part", "Prediction"))
    return {
        "critique": f"{tell(happened[:1])} next.",
        "conclusion": "right" if happened == foretold_colours else "wrong",
    }


def hindsight(seen: Seen) -> dict[str, Any]:
    return {"reasoning": JOINER.join(colours_in(titled(seen, "Second part"))).capitalize()}


def yes_no(value: bool) -> str:
    return "yes" if value else "no"


ANNOTATE_ANSWERS: dict[str, Callable[[Seen], dict[str, Any]]] = {
    **ANSWERS,
    "Caption": caption,
    "CaptionEvents": caption_events,
    "WatchedEvents": watched,
    "CausalAnalysis": analysis,
    "SplitCaptions": split_captions,
    "CutPlan": plan,
    "PlacedCut": placed_cut,
    "Prediction": prediction,
    "AboutTheVideo": about_the_video,
    "Shown": shown,
    "Critique": critique,
    "Hindsight": hindsight,
}
