"""What a completion says: the thoughts, the prediction, the letter."""

import re
from dataclasses import dataclass

from nep.predict.ask import Ask
from nep.stats.answers import parse_answer

_THOUGHTS = re.compile(r"<think>(.*?)(?:</think>|$)", re.DOTALL)
# What may become a tag with the next piece.
_BEGUN_TAG = re.compile(r"<[/a-z]*$")
_ANSWER = re.compile(r"<answer>(.*?)(?:</answer>|$)", re.DOTALL)


@dataclass(frozen=True)
class Prediction:
    """A completion that was read.

    Attributes:
        reasoning: what stands in `<think>`, None without it.
        prediction: what stands in `<answer>`, else all that follows the thoughts.
        letter: of the option that is answered; None where none, or more than one, is, and without options.
    """

    reasoning: str | None
    prediction: str
    letter: str | None


def read_prediction(text: str, ask: Ask, unfinished: bool = False) -> Prediction:
    """Read a completion, or, `unfinished`, what is written so far; letters are read as the evaluation reads them."""
    text = _BEGUN_TAG.sub("", text) if unfinished else text
    thoughts = _THOUGHTS.search(text)
    said = text[thoughts.end() :] if thoughts else text
    answers = _ANSWER.findall(said)
    letter = parse_answer(text) if ask.options else None
    return Prediction(
        reasoning=thoughts[1].strip() if thoughts else None,
        prediction=(answers[-1] if answers else said).strip(),
        letter=letter if letter in ask.lettered else None,
    )
