import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from nep.data.prompts import Prompts, load_prompts
from nep.errors import InputError

REPO = Path(__file__).parents[3]
OPTIONS = {"A": "a cup", "B": "a ball", "C": "a hat", "D": "a key"}


@pytest.fixture
def values() -> dict[str, Any]:
    """The project's own prompts as read from YAML."""
    return copy.deepcopy(yaml.safe_load((REPO / "config/prompts.yaml").read_text(encoding="utf-8")))


def load_changed(values: dict[str, Any], folder: Path) -> Prompts:
    (folder / "prompts.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    return load_prompts(folder / "prompts.yaml")


def test_pools_have_the_published_sizes(prompts: Prompts) -> None:
    sizes = {name: len(pool) for name, pool in prompts.question_pools if not name.endswith("_mc")}
    assert sizes == {"next_event": 25, "full_caption": 5, "whole_video_next": 5, "previous_event": 27}


def test_no_wording_is_in_two_pools_or_holds_two_questions(prompts: Prompts) -> None:
    pools = prompts.question_pools
    wordings = [*pools.next_event, *pools.full_caption, *pools.whole_video_next, *pools.previous_event]
    assert len({wording.casefold() for wording in wordings}) == 62
    assert all(wording.count("?") <= 1 for wording in wordings)
    assert all(wording[-1] in "?." for wording in wordings)


def test_direct_and_reason_differ_in_the_instruction_alone(prompts: Prompts) -> None:
    direct = prompts.multiple_choice("What next?", OPTIONS, "direct").splitlines()
    reason = prompts.multiple_choice("What next?", OPTIONS, "reason").splitlines()
    assert direct[:-1] == reason[:-1] == ["What next?", "A. a cup", "B. a ball", "C. a hat", "D. a key"]
    assert direct[-1] == "Answer with the letter only."
    assert reason[-1] == "Think inside <think> </think>, then give the letter inside <answer> </answer>."


def test_inline_options_are_not_said_twice(prompts: Prompts) -> None:
    question = "Which? A) a cup B) a ball C) a hat D) a key"
    text = prompts.multiple_choice(question, OPTIONS, "direct", options_inline=True)
    assert text == f"{question}\nAnswer with the letter only."


def test_braces_in_options_are_plain_text(prompts: Prompts) -> None:
    assert "A. {letter}" in prompts.multiple_choice("{x}?", {**OPTIONS, "A": "{letter}"}, "direct")


@pytest.mark.parametrize(
    ("pool", "wording", "complaint"),
    [
        ("next_event", "What happens next?How does it go on?", "two wordings"),
        ("next_event", "What happens next.then", "must end"),
        ("next_event", "What happens next", "must end"),
        ("next_event", "<video>What happens next?", "placeholder"),
        ("next_event", "What follows {event}?", "no braces"),
        ("next_event", "what  IS about to happen?", "twice"),
        ("next_event", "", "must end"),
        ("whole_video_next", "What follows?", "{event}"),
        ("whole_video_next", "What follows {event} and {event}?", "{event}"),
        ("previous_event", 7, "string"),
    ],
)
def test_a_bad_wording_is_named_with_its_pool(
    values: dict[str, Any], tmp_path: Path, pool: str, wording: Any, complaint: str
) -> None:
    values["question_pools"][pool].append(wording)
    with pytest.raises(InputError) as caught:
        load_changed(values, tmp_path)
    message = str(caught.value)
    assert "prompts.yaml" in message
    assert f"question_pools.{pool}" in message
    assert complaint in message


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("question_pools", "next_event"), []),
        (("question_pools", "next_event_mc"), {1: ["What next?"], 2: ["What next?"]}),
        (("question_pools", "next_evnt"), ["What next?"]),
        (("options_template",), "{letter}"),
        (("options_template",), "{letter}. {text"),
        (("instructions", "direct"), ""),
        (("system", "cft"), None),
    ],
)
def test_a_bad_key_is_named(values: dict[str, Any], tmp_path: Path, place: tuple[str, ...], value: Any) -> None:
    inner = values
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    with pytest.raises(InputError, match=".".join(place)):
        load_changed(values, tmp_path)


@pytest.mark.parametrize("content", ["a: [", "- a list", ""])
def test_a_file_of_another_shape_is_bad_input(tmp_path: Path, content: str) -> None:
    (tmp_path / "prompts.yaml").write_text(content)
    with pytest.raises(InputError, match=r"prompts\.yaml"):
        load_prompts(tmp_path / "prompts.yaml")


def test_a_missing_file_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        load_prompts(tmp_path / "prompts.yaml")
