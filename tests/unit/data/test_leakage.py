import itertools
import random

import pytest

from nep.data.leakage import (
    BIAS_BOUND,
    MAX_QUESTIONS,
    MIN_VIDEOS,
    Choice,
    choice,
    option_bias,
    text_only,
    warn_option_bias,
)
from nep.rows.question import LETTERS

WORDS = [f"word{number}" for number in range(400)]


def drawn(count: int, tell: str = "", videos: int | None = None, seed: int = 0) -> list[Choice]:
    """Questions with random options; `tell` is put into the right one."""
    rng = random.Random(seed)
    made = []
    for number in range(count):
        options = {letter: " ".join(rng.sample(WORDS, 5)) for letter in LETTERS}
        letter = rng.choice(LETTERS)
        options[letter] = f"{options[letter]} {tell}".strip()
        made.append(choice(f"q{number}", f"v{number % (videos or count)}", "What happens next?", options, letter))
    return made


def rates(letter: str, options: dict[str, str]) -> dict[str, float]:
    bias = option_bias([choice("q", "v", "What is next?", options, letter)])
    return {name: found["rate"] for name, found in bias.items()}


def test_rules_on_form_count_ties_in_equal_shares() -> None:
    options = {"A": "aa", "B": "bb", "C": "c", "D": "next"}
    bias = option_bias([choice("q", "v", "What is next?", options, letter) for letter in LETTERS])
    assert {name: found["rate"] for name, found in bias.items()} == {
        "longest": 25.0,
        "shortest": 25.0,
        "most_overlapping": 25.0,
        "least_overlapping": 25.0,
    }
    assert rates("D", options) == {
        "longest": 100.0,
        "shortest": 0.0,
        "most_overlapping": 100.0,
        "least_overlapping": 0.0,
    }
    assert rates("A", options)["least_overlapping"] == pytest.approx(100 / 3, abs=0.01)


def test_a_set_is_biased_only_where_its_whole_interval_lies_outside(capsys: pytest.CaptureFixture[str]) -> None:
    fair, biased = option_bias(drawn(400)), option_bias(drawn(400, tell="and more words"))
    assert all(found["within_bound"] for found in fair.values())
    assert {name for name, found in biased.items() if not found["within_bound"]} == {"longest", "shortest"}
    assert biased["longest"]["ci_low"] > 100 * BIAS_BOUND[1]
    assert biased["shortest"]["ci_high"] < 100 * BIAS_BOUND[0]
    assert all(found["within_bound"] for found in option_bias(drawn(2, tell="and more words")).values())
    warn_option_bias("grpo/x.jsonl", fair)
    assert capsys.readouterr().err == ""
    warn_option_bias("grpo/x.jsonl", biased)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert "grpo/x.jsonl: the longest option is the right one in 100 %" in lines[0]


def test_the_baseline_is_at_chance_without_a_leak_and_finds_a_word_that_tells() -> None:
    fair, told = text_only(drawn(400), 0), text_only(drawn(400, tell="indeed"), 0)
    assert fair["ci_low"] < 25 < fair["ci_high"]
    assert told["accuracy"] > 95
    assert fair["n"] == told["n"] == 400
    assert fair["ci_low"] < fair["accuracy"] < fair["ci_high"]


def test_the_baseline_finds_a_favoured_letter() -> None:
    rows = [item._replace(options=item.options, right=1) for item in drawn(200)]
    assert text_only(rows, 0)["accuracy"] == 100.0


def test_the_baseline_cannot_learn_a_videos_own_words() -> None:
    """A video's questions share their truth: known from another question, it would be answered; by video, it is not."""
    rng = random.Random(1)
    made = []
    other_words = itertools.count(1000)
    for video, turn in itertools.product(range(60), range(8)):
        letter = rng.choice(LETTERS)
        options = {place: f"word{next(other_words)}" for place in LETTERS} | {letter: f"word{100 + video:04d}"}
        made.append(choice(f"{video}-{turn}", f"v{video}", "What next?", options, letter))
    assert text_only(made, 0)["accuracy"] < 40
    apart = [item._replace(video_id=item.id) for item in made]
    assert text_only(apart, 0)["accuracy"] > 90


def test_the_baseline_needs_videos_and_is_bounded_in_cost() -> None:
    assert text_only(drawn(100, videos=MIN_VIDEOS - 1), 0) is None
    assert text_only(drawn(100, videos=MIN_VIDEOS), 0)["n"] == 100
    assert text_only(drawn(MAX_QUESTIONS + 5), 0)["n"] == MAX_QUESTIONS


def test_the_same_questions_give_the_same_figure_in_any_order() -> None:
    rows = drawn(100, tell="")
    assert text_only(rows, 3) == text_only(rows[::-1], 3)
