"""Multiple-choice questions about a demo video. All options are made of the lamps of that video."""

import itertools
import random
from collections.abc import Sequence
from typing import Any

from nep.demo.world import Scenario, describe

LETTERS = "ABCD"
HOP_QUESTIONS = {
    1: "What happens next?",
    2: "Which two events come next, in order?",
    3: "Which three events come next, in order?",
}


def future_questions(world: Scenario, rng: random.Random, joiner: str) -> list[dict[str, Any]]:
    """FutureBench items (without id and path): 1, 2 and 3 hops, and an interpolation (`hop5`)."""
    items = [
        _item(f"hop{hops}", question, world.after[:hops], world, rng, joiner)
        for hops, question in HOP_QUESTIONS.items()
    ]
    last = world.after[-1]
    between = f"Later {describe(last)}. Which two events come next, before that?"
    return [*items, _item("hop5", between, world.after[:-1], world, rng, joiner)]


def lamp_question(world: Scenario, rng: random.Random) -> list[dict[str, str]]:
    """The data set's own question about the whole video, as the alternating items of `mc_qa`."""
    order = rng.sample(world.colours, len(world.colours))
    options = "\n".join(f"{letter}. {describe(colour)}" for letter, colour in zip(LETTERS, order, strict=True))
    letter = LETTERS[order.index(world.events[0])]
    return [
        {"from": "human", "value": f"<image>\nWhat happens first?\n{options}\nAnswer with the letter only."},
        {"from": "gpt", "value": letter},
    ]


def _item(
    kind: str, question: str, truth: Sequence[str], world: Scenario, rng: random.Random, joiner: str
) -> dict[str, Any]:
    others = [run for run in itertools.permutations(world.colours, len(truth)) if run != tuple(truth)]
    runs = [tuple(truth), *rng.sample(others, len(LETTERS) - 1)]
    rng.shuffle(runs)
    texts = [joiner.join(describe(colour) for colour in run) for run in runs]
    return {
        "question_type": kind,
        "qa": {
            "Question": question,
            "Options": dict(zip(LETTERS, texts, strict=True)),
            "Answer": LETTERS[runs.index(tuple(truth))],
        },
    }
