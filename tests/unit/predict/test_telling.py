"""Completions as they are read and told, whole and while they are written."""

import io
from pathlib import Path

import pytest

from nep.predict.answer import read_prediction
from nep.predict.ask import Ask
from nep.predict.telling import Teller, Told

FREE, CHOICE = Ask(Path("a.mp4")), Ask(Path("a.mp4"), options=("It falls.", "It stays."))


@pytest.mark.parametrize(
    ("text", "ask", "reasoning", "prediction", "letter"),
    [
        ("<think>\nIt leans.\n</think>\n<answer>\nB\n</answer>", CHOICE, "It leans.", "B", "B"),
        ("<think>It le", CHOICE, "It le", "", None),
        ("<think>It leans.</think> It falls.", FREE, "It leans.", "It falls.", None),
        ("It falls.", FREE, None, "It falls.", None),
        ("(A) It falls.", CHOICE, None, "(A) It falls.", "A"),
        ("C", CHOICE, None, "C", None),
        ("", CHOICE, None, "", None),
    ],
)
def test_what_a_completion_says(
    text: str, ask: Ask, reasoning: str | None, prediction: str, letter: str | None
) -> None:
    found = read_prediction(text, ask)
    assert (found.reasoning, found.prediction, found.letter) == (reasoning, prediction, letter)


def told(text: str, ask: Ask, size: int) -> str:
    """What people see of a completion that comes in pieces of `size` characters."""
    out = io.StringIO()
    teller = Teller(out)
    for end in range(size, len(text) + size, size):
        teller(read_prediction(text[:end], ask, unfinished=True))
    teller.end(Told(text, read_prediction(text, ask), 7, 1.25), ask)
    return out.getvalue()


@pytest.mark.parametrize("size", [1, 3, 100])
def test_it_is_told_the_same_in_pieces_of_any_size(size: int) -> None:
    text = "<think>\nIt leans\nto a < b.\n</think>\n<answer>\nB\n</answer>"
    assert told(text, CHOICE, size) == (
        "reasoning: It leans\nto a < b.\nprediction: B\nchosen: B. It stays.\n(7 tokens, 1.2 s)\n"
    )
    assert told("It falls.", FREE, size) == "prediction: It falls.\n(7 tokens, 1.2 s)\n"


def test_a_choice_that_cannot_be_read_is_said() -> None:
    assert told("<think>It", CHOICE, 100) == "reasoning: It\nchosen: none that can be read\n(7 tokens, 1.2 s)\n"


def test_a_row_holds_what_was_asked_and_said() -> None:
    text = "<think>x</think><answer>A</answer>"
    row = Told(text, read_prediction(text, CHOICE), None, 0.12345).row(CHOICE, "nep/grpo", 1)
    assert row == {
        "video": "a.mp4",
        "moment": None,
        "model": "nep/grpo",
        "sample": 1,
        "seed": 0,
        "variant": "reason",
        "reasoning": "x",
        "prediction": "A",
        "letter": "A",
        "completion": text,
        "tokens": None,
        "seconds": 0.123,
    }
