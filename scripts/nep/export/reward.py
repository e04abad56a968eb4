"""The rewards of the run's GRPO, in one file that EasyR1, verl and ms-swift load; it needs nothing but Python.

`letter`: 1 when the completion has the asked form and the letter in it is the right one; `format`: 1 for the form
alone. The weights are those of the recipe.
"""

import re
from typing import Any

REWARD_NAME = "next_event"
REWARD_TYPE = "sequential"

_FORM = re.compile(r"\s*<think>(?:(?!</?think>).)*</think>\s*<answer>\s*([A-D])\s*</answer>\s*", re.DOTALL)


def format_reward(completion: str) -> float:
    """1 when the completion is one `<think>` block, then one `<answer>` block with a letter, and nothing else."""
    return float(_FORM.fullmatch(completion) is not None)


def letter_reward(completion: str, answer: str) -> float:
    """1 when the completion has that form, no other answer tag among its thoughts, and the right letter."""
    match = _FORM.fullmatch(completion)
    tags = (completion.count("<answer>"), completion.count("</answer>"))
    return float(match is not None and tags == (1, 1) and match.group(1) == answer)


def score_for_easyr1(reward_input: dict[str, Any], **weights: float) -> dict[str, float]:
    """EasyR1: the weighted sum as `overall`, and each reward."""
    return _scores("overall", reward_input["response"], reward_input["ground_truth"], weights)


def score_for_verl(
    data_source: str, solution_str: str, ground_truth: str, extra_info: dict[str, Any] | None = None, **weights: float
) -> dict[str, float]:
    """verl: the weighted sum as `score`, and each reward."""
    return _scores("score", solution_str, ground_truth, weights)


def _scores(total: str, completion: str, answer: str, weights: dict[str, float]) -> dict[str, float]:
    scores = {"letter": letter_reward(completion, answer), "format": format_reward(completion)}
    return {total: sum(weight * scores[name] for name, weight in weights.items()), **scores}
