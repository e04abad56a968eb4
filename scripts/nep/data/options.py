"""The options of a multiple-choice question."""

from nep.rows.question import LETTERS

DISTRACTORS = len(LETTERS) - 1


def arrange(truth: str, distractors: list[str], letter: str) -> dict[str, str]:
    """Options by letter, with the truth at `letter` and the distractors, in their order, at the others."""
    rest = iter(distractors)
    return {place: truth if place == letter else next(rest) for place in LETTERS}
