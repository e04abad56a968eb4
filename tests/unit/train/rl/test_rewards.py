"""What a completion earns."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from nep.config.grpo import Grpo
from nep.errors import InputError
from nep.train.rl.rewards import (
    Rewards,
    format_reward,
    is_accurate,
    letter_reward,
    overlong_penalty,
    shuffled_bonuses,
    similarity_reward,
)

ROW = {"id": "q1", "answer": "A", "kind": "hop2"}
RIGHT = "<think>\nThe ball rolls.\n</think>\n<answer>\nB\n</answer>"


@pytest.mark.parametrize(
    ("completion", "form", "letter", "accurate"),
    [
        (RIGHT, 1, 1, True),
        (" " + RIGHT + "\n", 1, 1, True),
        ("<think></think><answer>B</answer>", 1, 1, True),
        (RIGHT.replace("B\n", "C\n"), 1, 0, False),
        ("<answer>B</answer>", 0, 0, True),
        ("B", 0, 0, True),
        ("<think>a<answer>B</answer></think><answer>B</answer>", 1, 0, True),
        ("<think>a</think>Answer: A, B", 0, 0, False),
        (RIGHT + " B", 0, 0, True),
        ("so " + RIGHT, 0, 0, True),
        (RIGHT + "<answer>A</answer>", 0, 0, False),
        ("<think>a</think><think>b</think><answer>B</answer>", 0, 0, True),
        ("<think>a<answer>B</answer>", 0, 0, True),
        ("<think>a</think><answer>B", 0, 0, False),
        ("<think>a</think><answer>E</answer>", 0, 0, False),
        ("", 0, 0, False),
    ],
)
def test_rewards_of_a_completion(completion: str, form: float, letter: float, accurate: bool) -> None:
    assert format_reward(completion, "B", ROW) == form
    assert letter_reward(completion, "B", ROW) == letter
    assert is_accurate(completion, "B") is accurate


def test_rewards_are_weighted_by_name() -> None:
    scored = Rewards(Grpo(rewards={"letter": 1.0, "format": 0.25})).score(RIGHT, ROW)
    assert scored.rewards == {"letter": 0.0, "format": 1.0}
    assert (scored.total, scored.failed) == (0.25, 0)


@pytest.mark.parametrize(("words", "expected"), [(1, 0), (2, 1), (4, 1), (5, 0)])
def test_think_length_has_bounds_that_belong_to_it(words: int, expected: float) -> None:
    rewards = Rewards(Grpo(rewards={"think_length": 1.0}, think_words=(2, 4)))
    assert rewards.score(f"<think>\n{'word ' * words}</think>\n<answer>B</answer>", ROW).total == expected
    assert rewards.score("two words", ROW).total == 0


def test_similarity_grades_open_answers_between_none_and_the_same() -> None:
    def graded(said: str) -> float:
        return similarity_reward(f"<think></think><answer> {said} </answer>", "The red ball rolls away.", ROW)

    assert graded("The red ball rolls away.") == pytest.approx(1.0)
    assert graded("Xyz") < graded("The door opens.") < graded("A red ball rolls off.") < 1
    assert similarity_reward("The red ball rolls away.", "The red ball rolls away.", ROW) == 0


def test_the_overlong_penalty_is_that_of_dapo() -> None:
    """Eq. 13 with L_max = 20 and L_cache = 4."""
    lengths = {1: 0, 16: 0, 17: (16 - 17) / 4, 18: (16 - 18) / 4, 19: (16 - 19) / 4, 20: -1}
    assert {length: overlong_penalty(length, 20, 4) for length in lengths} == lengths
    assert overlong_penalty(20, 20, 0) == 0


@pytest.mark.parametrize(
    ("accurate", "shuffled", "expected"),
    [
        ([True, False, True, False], [True, False], [0.3, 0, 0.3, 0]),
        ([True, True, False, False, False], [True, False], [0.3, 0.3, 0, 0, 0]),
        ([True, False, False, False], [True, False], [0, 0, 0, 0]),
        ([False, False], [False], [0, 0]),
    ],
)
def test_the_shuffled_bonus_is_that_of_t_grpo(
    accurate: list[bool], shuffled: list[bool], expected: list[float]
) -> None:
    """0.5 ≥ 0.8 × 0.5, 0.4 ≥ 0.8 × 0.5 (just), 0.25 < 0.8 × 0.5, none right."""
    assert shuffled_bonuses(accurate, shuffled, 0.3) == expected


@pytest.fixture
def own_rewards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A user's module in the working folder; the name of its package differs from test to test."""
    package = f"own_{abs(hash(tmp_path))}"
    (tmp_path / package).mkdir()
    (tmp_path / package / "mine.py").write_text(
        "LIMIT = 3\n"
        "def hops(completion, answer, row):\n    return {'hop1': 1, 'hop2': 2}[row['kind']]\n"
        "def nan(completion, answer, row):\n    return float('nan')\n"
        "def text(completion, answer, row):\n    return 'good'\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", ["nowhere"])
    return f"{package}.mine"


def test_a_python_function_of_the_users_own(own_rewards: str) -> None:
    grpo = Grpo(rewards={"letter": 1.0, f"{own_rewards}:hops": 0.5})
    assert Rewards(grpo).score(RIGHT.replace("B", "A"), ROW).total == 2.0
    assert [Path(file).is_file() for file in grpo.reward_modules] == [True]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere_at_all:f", "ModuleNotFoundError: No module named 'nowhere_at_all'"),
        ("{own}:missing", "has no attribute 'missing'"),
        ("{own}:LIMIT", "is 3, not a function"),
    ],
)
def test_a_path_that_gives_no_function_is_named_at_the_start(own_rewards: str, name: str, message: str) -> None:
    path = name.format(own=own_rewards)
    with pytest.raises(InputError, match=message) as raised:
        Rewards(Grpo(rewards={path: 1.0}))
    assert repr(path) in str(raised.value)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("hops", r"KeyError: 'hop9' \(mine\.py, line 3\)"),
        ("nan", "ValueError: gave nan, not a finite number"),
        ("text", "ValueError: could not convert string to float: 'good'"),
    ],
)
def test_a_reward_that_fails_ends_the_run_or_counts_as_zero(own_rewards: str, function: str, message: str) -> None:
    name, row = f"{own_rewards}:{function}", {**ROW, "kind": "hop9"}
    with pytest.raises(InputError, match=f"record q1: reward '{name}': {message}"):
        Rewards(Grpo(rewards={name: 1.0})).score(RIGHT, row)
    scored = Rewards(Grpo(rewards={"format": 1.0, name: 1.0}, on_reward_error="zero")).score(RIGHT, row)
    assert (scored.rewards, scored.total, scored.failed) == ({"format": 1.0, name: 0.0}, 1.0, 1)


def test_a_misspelt_reward_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(ValidationError, match="no reward 'leter'; did you mean 'letter'"):
        Grpo(rewards={"leter": 1.0})
