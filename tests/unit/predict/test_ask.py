"""A question is put in the words in which data sets and evaluation put it."""

from pathlib import Path

import pytest
from support.entry_points import ROOT
from support.rows import record

from nep.data.inputs import Item
from nep.data.prompts import Prompts, load_prompts
from nep.data.sft_sets import SFT_SETS, rows_of_item
from nep.errors import InputError
from nep.evaluate.tasks.multiple_choice.utils import doc_to_text
from nep.model.samples import content_parts
from nep.predict.ask import Ask, messages_of

VIDEO = Path("kitchen.mp4")
PROMPTS = ROOT / "config/prompts.yaml"


@pytest.fixture(scope="module")
def prompts() -> Prompts:
    return load_prompts(PROMPTS)


@pytest.mark.parametrize("variant", ["direct", "reason"])
def test_options_are_put_as_the_evaluation_puts_them(prompts: Prompts, variant: str) -> None:
    options = {"A": "She waits.", "B": "She leaves.", "C": "It rains.", "D": "Nothing."}
    doc = {"question": "What follows?", "options": options, "options_inline": False}
    asked = doc_to_text(doc, {"prompts": str(PROMPTS), "variant": variant})
    ask = Ask(VIDEO, 3.0, "What follows?", tuple(options.values()), variant)
    assert messages_of(ask, prompts) == [
        {"role": "user", "content": [{"type": "video"}, {"type": "text", "text": asked}]}
    ]


@pytest.mark.parametrize(("variant", "data_set"), [("direct", "next_event"), ("reason", "distill")])
def test_a_free_question_is_put_as_a_data_set_puts_it(prompts: Prompts, variant: str, data_set: str) -> None:
    texts = {"caption_part2": "She leaves.", "reasoning": "The door is open.", "prediction": "She leaves."}
    (entry,) = [entry for entry in SFT_SETS if entry.name == data_set]
    (row,) = rows_of_item(entry, Item(record("a", "a.mp4", **texts), "train", {"first": "a.mp4"}), prompts, seed=0)
    trained = [{"role": turn["role"], "content": content_parts(turn["content"])} for turn in row.turns[:-1]]
    asked = messages_of(Ask(VIDEO, 3.0, trained[-1]["content"][1]["text"], variant=variant), prompts)
    assert asked == trained
    (default,) = [part["text"] for part in messages_of(Ask(VIDEO), prompts)[-1]["content"] if part["type"] == "text"]
    assert default in prompts.question_pools.next_event


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"moment": 0.0}, "moment 0 s"),
        ({"moment": float("nan")}, "moment nan s"),
        ({"moment": float("inf")}, "moment inf s"),
        ({"options": ("one",)}, "1 options, should be 2 to 4"),
        ({"options": tuple("abcde")}, "5 options, should be 2 to 4"),
        ({"temperature": -1.0}, "temperature -1"),
        ({"max_new_tokens": 0}, "max_new_tokens 0"),
    ],
)
def test_what_cannot_be_asked_is_named(wrong: dict, message: str) -> None:
    with pytest.raises(InputError, match=f"kitchen.mp4: {message}"):
        Ask(VIDEO, **wrong)
