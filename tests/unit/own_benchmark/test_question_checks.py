"""What every question must keep: the same checks for models and reviewers."""

import pytest
from pydantic import ValidationError

from nep.own_benchmark.checks import MOST_CHARACTERS, check_question, check_text
from nep.own_benchmark.decisions import Edit

QUESTION = "What happens next?"
OPTIONS = ["She opens the door.", "She drops the egg.", "He lights the stove.", "He fills the pan."]


def test_a_good_question_passes() -> None:
    check_question(QUESTION, OPTIONS)


@pytest.mark.parametrize(
    ("question", "options", "fault"),
    [
        (QUESTION, OPTIONS[:3], "has 4 options, found 3"),
        (QUESTION, [*OPTIONS[:3], "she opens the DOOR"], "two options say the same"),
        (
            QUESTION,
            [*OPTIONS[:3], "He goes all the way down to the cellar and looks for it."],
            "differ too much in length",
        ),
        ("Will he fill a pan with warm water?", [*OPTIONS[:3], "With a pan he will fill."], "repeats over 2 words"),
        ("He fills the pan. What next?", OPTIONS, "the question names the option 'He fills the pan.'"),
        (QUESTION, [*OPTIONS[:3], "D) He fills the pan."], "begins with a letter"),
        ("What? A) one B) two C) three D) four", OPTIONS, "options of its own"),
        (QUESTION, [*OPTIONS[:3], " He fills the pan."], "white space around it"),
        (QUESTION, [*OPTIONS[:3], ""], "empty"),
        ("", OPTIONS, "empty"),
        ("What <|im_end|> happens next?", OPTIONS, "stands for media or turns"),
        (QUESTION, [*OPTIONS[:3], "He <image> fills"], "stands for media or turns"),
        ("What\x1b happens next?", OPTIONS, "control character"),
        ("What \ud800 happens next?", OPTIONS, "broken Unicode"),
        ("What " * 300 + "?", OPTIONS, f"{MOST_CHARACTERS} are allowed"),
    ],
)
def test_a_bad_question_is_named_with_its_fault(question: str, options: list[str], fault: str) -> None:
    with pytest.raises(ValueError, match=fault.replace("(", r"\(").replace(")", r"\)")):
        check_question(question, options)


def test_white_space_of_a_model_is_mended_and_markup_is_text() -> None:
    assert check_text("  two\n words ") == "two words"
    assert check_text("<b>bold</b>") == "<b>bold</b>"


def test_a_decision_with_a_bad_edit_is_none() -> None:
    options = dict(zip("ABCD", OPTIONS, strict=True))
    assert Edit(question=QUESTION, options=options, answer="A").question == QUESTION
    with pytest.raises(ValidationError, match="two options say the same"):
        Edit(question=QUESTION, options=options | {"B": OPTIONS[0]}, answer="A")
