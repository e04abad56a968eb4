"""What the scripted annotator answers to the steps of `questions`: it writes, checks and answers questions on lamps."""

import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from support.annotator import ANSWERS, Seen

from nep.demo.world import COLOURS, EVENTS_AFTER, JOINER
from nep.records.schema import LETTERS

LISTED = re.compile(r"^\d+\. (.+)$", re.MULTILINE)
OPTION = re.compile(r"^([A-D])\. (.+)$", re.MULTILINE)
COLOUR = re.compile("|".join(COLOURS), re.IGNORECASE)
QUESTIONS = {
    "hop1": "Which lamp lights up next?",
    "hop2": "Which two lamps light up next, in order?",
    "hop3": "Which three lamps light up next, in order?",
    "interpolation": "What happens before this? {told}",
}
HIDDEN = 2


def written(seen: Seen) -> dict[str, Any]:
    """A question of the kind that is asked for; options are runs of lamps."""
    kind = re.search(r"^Kind of question: (\w+)$", seen.text, re.MULTILINE)[1]
    told = re.search(r"^Later event that the question tells: (.+)$", seen.text, re.MULTILINE)
    before, after = story(seen)
    length = HIDDEN if told else int(kind.removeprefix("hop"))
    truth = after[:length]
    others = itertools.islice(runs(truth, before + after), 3)
    question = QUESTIONS[kind].format(told=told and told[1])
    return {"question": question, "answer": tell(truth), "distractors": [tell(run) for run in others]}


def distractors(seen: Seen) -> dict[str, Any]:
    """Three wrong answers that were not there before."""
    used = re.findall(r"^- (.+)$", seen.text, re.MULTILINE)
    truth = colours_in(re.search(r"^Right answer: (.+)$", seen.text, re.MULTILINE)[1])
    fresh = (text for run in runs(truth, list(COLOURS)) if (text := tell(run)) not in used)
    return {"distractors": list(itertools.islice(fresh, 3))}


def right_options(seen: Seen) -> dict[str, Any]:
    """The options that hold what happens after the cut, from its first event on."""
    _, after = story(seen)
    return {"right": [letter for letter, run in options(seen).items() if run == after[: len(run)]]}


def chosen(seen: Seen) -> dict[str, Any]:
    """The option that the frames show, or let foresee; without frames, or where none fits, a guess."""
    lit = [event.colour for event in seen.events]
    # The last lamp before the cut may still be lit after it.
    expected = foreseen(lit) if "frames of the first part" in seen.system else lit[-EVENTS_AFTER:]
    fitting = [letter for letter, run in options(seen).items() if lit and run == expected[: len(run)]]
    return {"letter": fitting[0] if fitting else guess(seen)}


def foreseen(lit: Sequence[str]) -> list[str]:
    """The next lamps of a ball that goes on round its ring."""
    ring = list(dict.fromkeys(lit))
    last = ring.index(lit[-1])
    return [ring[(last + step) % len(ring)] for step in range(1, 4)]


def guess(seen: Seen) -> str:
    """A letter that only the text decides."""
    return LETTERS[int(seen.identity, 16) % len(LETTERS)]


def options(seen: Seen) -> dict[str, list[str]]:
    """The colours of each option."""
    return {letter: colours_in(text) for letter, text in OPTION.findall(seen.text)}


def story(seen: Seen) -> tuple[list[str], list[str]]:
    """Colours of the events before the cut and after it."""
    told = seen.text.split("Events after the cut:")
    before, after = told[0], told[1].split("\n\n")[0].split("\nA. ")[0]
    return tuple([colours_in(event)[0] for event in LISTED.findall(part)] for part in (before, after))


def colours_in(text: str) -> list[str]:
    return [colour.lower() for colour in COLOUR.findall(text)]


def tell(run: Sequence[str]) -> str:
    return JOINER.join(run).capitalize()


def runs(truth: Sequence[str], colours: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Runs of different lamps as long as the truth, which is left out."""
    known = list(dict.fromkeys(colours))
    return (run for run in itertools.permutations(known, len(truth)) if list(run) != list(truth))


QUESTION_ANSWERS: dict[str, Callable[[Seen], dict[str, Any]]] = {
    "WrittenQuestion": written,
    "NewDistractors": distractors,
    "RightOptions": right_options,
    "ChosenOption": chosen,
}
ANSWERS.update(QUESTION_ANSWERS)
