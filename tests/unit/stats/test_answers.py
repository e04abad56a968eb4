"""What the anchored parser reads, what it refuses to read, and what the published one reads instead."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nep.stats.answers import LETTERS, extract_answer_tag, parse_answer, parse_legacy

READABLE = [
    ("B", "B"),
    (" B \n", "B"),
    ("B.", "B"),
    ("(B)", "B"),
    ("B)", "B"),
    ("(C) The cup falls.", "C"),
    ("B. The ball rolls away.", "B"),
    ("D) Nothing moves", "D"),
    ("B. A ball rolls to Dan.", "B"),
    ("Answer: C", "C"),
    ("answer: C", "C"),
    ("ANSWER: C.", "C"),
    ("**Answer: C**", "C"),
    ("Answer: **C**", "C"),
    ("Final answer: (D)", "D"),
    ("Answer: B. The ball rolls away.", "B"),
    ("A ball comes. The answer is D.", "D"),
    ("The answer is option B", "B"),
    ("The answer is C because the cup tips.", "C"),
    ("At first the answer is A. But no, the answer is B.", "B"),
    ("<think>\nA or B?\n</think>\n<answer>\nB\n</answer>", "B"),
    ("<think>Answer: A</think><answer>D</answer>", "D"),
    ("<think>Answer: A</think>\nD", "D"),
    ("A. The lamp is lit.\n</think>\nD", "D"),
    ("<answer>(C)</answer>", "C"),
    ("<answer>C. The door opens.</answer>", "C"),
    ("<answer>A</answer> wait <answer>C</answer>", "C"),
    ("<answer>C</answer><answer>the cup</answer>", "C"),
    ("<answer><answer>B</answer></answer>", "B"),
    ("<answer>the cup falls</answer> Answer: B", "B"),
]

UNREADABLE = [
    "",
    " ",
    "A ball rolls away.",
    "Because of the cup",
    "Dan opens the door.",
    "E",
    "b",
    "AB",
    "A or B",
    "A, B",
    "B and C",
    "A. The ball\nB. The cup\nC. The door\nD. Nothing",
    "(A) (B)",
    "Answer: A ball rolls away",
    "The answer is not B",
    "The answer is B or C",
    "Answer: Dan",
    "Answer:",
    "<answer></answer>",
    "<answer>A or B</answer>",
    "<answer>B",
    "I think that B",
]


@pytest.mark.parametrize(("text", "letter"), READABLE)
def test_reads_the_anchored_letter(text: str, letter: str):
    assert parse_answer(text) == letter


@pytest.mark.parametrize("text", UNREADABLE)
def test_does_not_guess(text: str):
    assert parse_answer(text) is None


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("Answer: C", "A"),
        ("answer: C", "C"),
        ("<think>Dan comes</think><answer>B</answer>", "D"),
        ("Because", "B"),
        ("no letter", None),
    ],
)
def test_legacy_takes_the_first_capital(text: str, letter: str | None):
    assert parse_legacy(text) == letter


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("<think>\nso\n</think>\n<answer>\nB\n</answer>", "B"),
        ("<answer>B</answer>", "B"),
        ("<answer>B. The cup falls.</answer>", "B"),
        ("<answer>A</answer><answer>B</answer>", None),
        ("<answer>B</answer><answer>B</answer>", None),
        ("<answer><answer>B</answer></answer>", None),
        ("<answer>B</answer></answer>", None),
        ("</answer>B<answer>", None),
        ("<answer>A. x B. y C. z D. w</answer>", None),
        ("<answer>the cup</answer>", None),
        ("<answer>B", None),
        ("Answer: B", None),
        ("B", None),
    ],
)
def test_the_tag_of_a_reward_is_read_strictly(text: str, letter: str | None):
    assert extract_answer_tag(text) == letter


@given(st.text())
def test_any_text_gives_a_letter_or_none(text: str):
    assert parse_answer(text) in {*LETTERS, None}


@given(st.text(alphabet="xyz <>/\n.:", max_size=40), st.sampled_from(LETTERS))
def test_thoughts_before_the_block_do_not_matter(thought: str, letter: str):
    assert parse_answer(f"<think>{thought}</think>\n<answer>\n{letter}\n</answer>") == letter
