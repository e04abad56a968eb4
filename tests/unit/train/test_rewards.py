"""What a completion earns."""

import pytest

from nep.train.rewards import format_reward, is_accurate, letter_reward, score, weighted

RIGHT = "<think>\nThe ball rolls.\n</think>\n<answer>\nB\n</answer>"


@pytest.mark.parametrize(
    ("completion", "form", "letter", "accurate"),
    [
        (RIGHT, 1, 1, True),
        (" " + RIGHT + "\n", 1, 1, True),
        ("<think></think><answer>B</answer>", 1, 1, True),
        (RIGHT.replace("B\n", "C\n"), 1, 0, False),
        ("<answer>B</answer>", 0, 0, True),
        ("B", 0, 0, False),
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
    assert format_reward(completion, "B") == form
    assert letter_reward(completion, "B") == letter
    assert is_accurate(completion, "B") is accurate


def test_rewards_are_weighted_by_name() -> None:
    weights = {"letter": 1.0, "format": 0.25}
    scores = score(RIGHT, "A", weights)
    assert scores == {"letter": 0.0, "format": 1.0}
    assert weighted(scores, weights) == 0.25
