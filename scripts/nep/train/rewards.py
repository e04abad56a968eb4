"""Verifiable rewards of a completion's text; each by name, each in [0, 1]."""

import re
from collections.abc import Callable, Mapping

from nep.evaluation.parse import extract_answer_tag

_FORM = re.compile(r"\s*<think>(?:(?!</?think>).)*</think>\s*<answer>\s*[A-D]\s*</answer>\s*", re.DOTALL)


def format_reward(completion: str, answer: str) -> float:
    """1 when the completion is one `<think>` block followed by one `<answer>` block with a letter, and nothing else."""
    return float(_FORM.fullmatch(completion) is not None)


def letter_reward(completion: str, answer: str) -> float:
    """1 when the completion has the right form and the letter in it is the right one."""
    return float(format_reward(completion, answer) == 1.0 and extract_answer_tag(completion) == answer)


REWARDS: dict[str, Callable[[str, str], float]] = {"letter": letter_reward, "format": format_reward}


def score(completion: str, answer: str, weights: Mapping[str, float]) -> dict[str, float]:
    """The reward of each name in `weights`, without its weight."""
    return {name: REWARDS[name](completion, answer) for name in weights}


def weighted(scores: Mapping[str, float], weights: Mapping[str, float]) -> float:
    """The weighted sum of `scores`."""
    return sum(weights[name] * value for name, value in scores.items())


def is_accurate(completion: str, answer: str) -> bool:
    """Whether the letter in the `<answer>` block is the right one, whatever the rest looks like."""
    return extract_answer_tag(completion) == answer
