from collections.abc import Callable
from typing import Any

import pytest

from nep.data.draw import stable_random
from nep.data.inputs import Item, LeftOut
from nep.data.own_questions import own_questions, split_options
from nep.data.prompts import Prompts
from nep.demo.video_questions import multiple_choice_pairs
from nep.demo.world import draw_scenario

Make = Callable[..., Any]
LINES = "What falls?\nA. The pan\nB. The egg\nC. A spoon\nD. A cup\nPlease answer with the letter."


def item_with(make_record: Make, *pairs: tuple[str, str], clips: tuple[str, ...] = ("first", "full")) -> Item:
    record = make_record(1, mc_qa=[{"question": question, "answer": answer} for question, answer in pairs])
    return Item(record, "train", {view: f"{view}.mp4" for view in clips})


@pytest.mark.parametrize(
    "question",
    [
        LINES,
        LINES.replace(". ", ") "),
        "What falls?\n(A) The pan\n(B) The egg\n(C) A spoon\n(D) A cup",
        "What falls?\nA: The pan\nB: The egg\nC: A spoon\nD: A cup\n\nAnswer:",
        "What falls? A. The pan B. The egg C. A spoon D. A cup",
        "What falls? (A) The pan (B) The egg (C) A spoon (D) A cup",
    ],
)
def test_forms_of_options(question: str) -> None:
    text, options = split_options(question)
    assert text == "What falls?"
    assert options == {"A": "The pan", "B": "The egg", "C": "A spoon", "D": "A cup"}


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        ("B", "B"),
        ("B.", "B"),
        ("(C)", "C"),
        ("B. The egg.", "B"),
        ("the egg", "B"),
        ("Answer: D", "D"),
        ("<think>\nIt rolls.\n</think>\n<answer>\nA\n</answer>", "A"),
    ],
)
def test_forms_of_an_answer(make_record: Make, answer: str, letter: str) -> None:
    asked, left_out = own_questions([item_with(make_record, (LINES, answer))])
    assert [question.letter for question in asked] == [letter]
    assert not left_out


@pytest.mark.parametrize(
    ("question", "answer", "reason"),
    [
        ("What falls?", "The egg", "no_options"),
        ("What falls?\nA. The pan\nB. The egg\nC. A spoon", "A", "not_four_options"),
        ("What falls?\nA. The pan\nB. The egg\nC. A spoon\nD. A cup\nE. None", "E", "not_four_options"),
        ("What falls?\nA. The pan\nB. the  PAN\nC. A spoon\nD. A cup", "A", "not_four_options"),
        ("What falls?\nA. The “pan”\nB. The pan!\nC. A spoon\nD. A cup", "A", "not_four_options"),
        ("A. The pan\nB. The egg\nC. A spoon\nD. A cup", "A", "no_question"),
        (LINES, "It is not shown", "no_letter"),
        (LINES, "B or C", "no_letter"),
        (LINES, "B. A spoon", "letter_and_text_differ"),
        (LINES.replace("A cup", "A cup that a child has put on the very edge"), "A", "option_length"),
        (
            LINES.replace("What falls?", "Does the egg or a cup fall down the big hill?").replace(
                "A spoon", "Down a big hill"
            ),
            "A",
            "option_overlap",
        ),
    ],
)
def test_a_pair_that_is_no_such_question_is_counted(make_record: Make, question: str, answer: str, reason: str) -> None:
    asked, left_out = own_questions([item_with(make_record, (question, answer), (LINES, "A"))])
    assert [item.name for item in asked] == ["mc2"]
    assert left_out == {reason: 1}


def test_records_without_pairs_or_without_the_whole_video_are_counted(make_record: Make) -> None:
    cut = item_with(make_record, (LINES, "A"), (LINES, "B"), clips=("first",))
    asked, left_out = own_questions([item_with(make_record), cut])
    assert asked == []
    assert left_out == {"no_mc_qa": 1, "no_full_video": 2}


def test_rows_ask_about_the_whole_video_in_the_projects_form(make_record: Make, prompts: Prompts) -> None:
    (question,), _ = own_questions([item_with(make_record, (LINES, "B. The egg"))])
    row = question.grpo_row(prompts).to_json()
    assert row["problem"] == (
        "<video>What falls?\nA. The pan\nB. The egg\nC. A spoon\nD. A cup\n" + prompts.instructions.reason
    )
    assert (row["answer"], row["view"], row["videos"], row["kind"]) == ("B", "full", ["full.mp4"], "mc_qa")
    assert row["id"] == f"{question.item.record.id}-mc1"


def test_the_demos_own_questions_are_read(make_record: Make, prompts: Prompts) -> None:
    for number in range(50):
        random = stable_random("world", number)
        world = draw_scenario(random)
        turns = [turn["value"].removeprefix("<image>\n") for turn in multiple_choice_pairs(world, prompts, random)]
        pairs = list(zip(turns[::2], turns[1::2], strict=True))
        asked, left_out = own_questions([item_with(make_record, *pairs)])
        assert not left_out
        assert [question.letter for question in asked] == [
            answer.strip()[-1] if len(answer) == 1 else answer.split("\n")[-2] for _, answer in pairs
        ]


def test_a_name_before_the_options_is_not_one() -> None:
    text, options = split_options("Who is A. Smith here? A. The cook B. The guest C. A child D. A dog")
    assert text == "Who is A. Smith here?"
    assert options["A"] == "The cook"
    with pytest.raises(LeftOut, match="no_options"):
        split_options("Is vitamin D. in it?")
