"""Multiple-choice questions about a demo video. All options are made of the lamps of that video."""

import random
from collections.abc import Sequence
from typing import Any

from nep.demo.world import Scenario, tell
from nep.rows.question import LETTERS

HOP_QUESTIONS = {
    1: "What happens next?",
    2: "Which two events come next, in order?",
    3: "Which three events come next, in order?",
}
BETWEEN_EVENTS = 2


def future_questions(world: Scenario, rng: random.Random) -> list[dict[str, Any]]:
    """FutureBench items (without id and path): 1, 2 and 3 hops, and an interpolation (`hop5`)."""
    items = [_item(f"hop{hops}", question, world.after[:hops], world, rng) for hops, question in HOP_QUESTIONS.items()]
    between = _item("hop5", between_question(world.after[-1]), world.after[:BETWEEN_EVENTS], world, rng)
    return [*items, between]


def between_question(third: str) -> str:
    """Interpolation: the two events before the third one to come are asked for, and its colour is told.

    It begins as the question about two events does: a model of a few hundred words knows no other ways to say so.
    """
    return f"{HOP_QUESTIONS[BETWEEN_EVENTS]} The event after them is {third}."


def option_sequences(colours: Sequence[str], length: int, rng: random.Random) -> list[tuple[str, ...]]:
    """One sequence of `length` different lamps for each of `colours` as its first lamp, in random order."""
    firsts = rng.sample(colours, len(colours))
    return [(first, *rng.sample([colour for colour in colours if colour != first], length - 1)) for first in firsts]


def _item(kind: str, question: str, truth: Sequence[str], world: Scenario, rng: random.Random) -> dict[str, Any]:
    runs = [tuple(truth) if run[0] == truth[0] else run for run in option_sequences(world.colours, len(truth), rng)]
    texts = [tell(run) for run in runs]
    return {
        "question_type": kind,
        "qa": {
            "Question": question,
            "Options": dict(zip(LETTERS, texts, strict=True)),
            "Answer": LETTERS[runs.index(tuple(truth))],
        },
    }
