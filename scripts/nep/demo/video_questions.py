"""The data set's own questions about a whole demo video: what happens first, what happens last."""

import random

from nep.data.prompts import Prompts, Variant, reasoned_answer
from nep.demo.questions import option_sequences
from nep.demo.world import DIRECTIONS, Scenario, tell
from nep.rows.question import LETTERS

QUESTIONS = {
    1: ("What happens first in the video?", "What happens last in the video?"),
    2: ("Which two events come first, in order?", "Which two events come last, in order?"),
    3: ("Which three events come first, in order?", "Which three events come last, in order?"),
}


def multiple_choice_pairs(world: Scenario, prompts: Prompts, rng: random.Random) -> list[dict[str, str]]:
    """The items of `mc_qa`: one question to be answered by a letter, and one with reasoning before it."""
    return [turn for variant in ("direct", "reason") for turn in _multiple_choice(world, prompts, variant, rng)]


def open_pair(world: Scenario) -> list[dict[str, str]]:
    """The items of `oe_qa`."""
    return _turns("Which way does the ball run?", f"{DIRECTIONS[world.direction]}.")


def _multiple_choice(world: Scenario, prompts: Prompts, variant: Variant, rng: random.Random) -> list[dict[str, str]]:
    length = rng.choice(sorted(QUESTIONS))
    end = rng.randrange(2)
    truth = tuple((world.events[:length], world.events[-length:])[end])
    runs = [truth if run[0] == truth[0] else run for run in option_sequences(world.colours, length, rng)]
    letter = LETTERS[runs.index(truth)]
    options = {name: tell(run) for name, run in zip(LETTERS, runs, strict=True)}
    answer = letter if variant == "direct" else reasoned_answer(tell(truth), letter)
    return _turns(prompts.multiple_choice(QUESTIONS[length][end], options, variant), answer)


def _turns(question: str, answer: str) -> list[dict[str, str]]:
    return [{"from": "human", "value": f"<image>\n{question}"}, {"from": "gpt", "value": answer}]
