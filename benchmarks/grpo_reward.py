"""The reward of the GRPO benchmarks, for this project and its peer alike: any text earns something, none the same."""

from collections.abc import Mapping
from typing import Any


def share_of_vowels(completion: str, answer: str = "", row: Mapping[str, Any] | None = None) -> float:
    """Share of vowels among the characters."""
    return sum(letter in "aeiou" for letter in completion) / max(1, len(completion))
