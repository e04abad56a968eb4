"""Reward functions as a user would write them, named in a recipe as `support.own_rewards:…`."""

from typing import Any


def parity(completion: str, answer: str, row: dict[str, Any]) -> float:
    """One that a random model earns now and then."""
    return float(len(completion) % 2)


def never(completion: str, answer: str, row: dict[str, Any]) -> float:
    """One without any signal."""
    return 0.0


def length(completion: str, answer: str, row: dict[str, Any]) -> float:
    """One in which hardly two completions agree."""
    return float(len(completion))
