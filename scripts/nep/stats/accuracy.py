"""Accuracy with its interval, over all questions and by kind of question."""

from collections.abc import Sequence
from math import sqrt
from typing import Any, NamedTuple

KINDS = ("hop1", "hop2", "hop3", "interpolation")
OVERALL = "overall"

# 97.5 % quantile of the standard normal distribution.
Z_95 = 1.959963984540054


class Interval(NamedTuple):
    """Bounds of a proportion, each in [0, 1]."""

    low: float
    high: float


def wilson_interval(successes: float, n: int, z: float = Z_95) -> Interval:
    """Wilson's score interval of a proportion (Wilson 1927, without continuity correction); 95 % by default.

    Raises ValueError unless 0 <= successes <= n and n >= 1.
    """
    if not 0 <= successes <= n or n < 1:
        raise ValueError(f"need 0 <= successes <= n and n >= 1, found successes {successes}, n {n}")
    share = successes / n
    centre = share + z * z / (2 * n)
    margin = z * sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    # At the ends the bound is 0 or 1 exactly; rounding must not move it.
    low = 0.0 if successes == 0 else (centre - margin) / scale
    high = 1.0 if successes == n else (centre + margin) / scale
    return Interval(low, high)


def accuracy_rows(samples: Sequence[dict[str, Any]], parsed: str, correct: str) -> list[dict[str, Any]]:
    """Accuracy of samples overall and by kind, overall first, kinds in the order of `KINDS`, only those that occur.

    `parsed` and `correct` name the columns to count ("parsed", "correct" or their legacy forms). Each row:
    `{"split", "n", "accuracy", "ci_low", "ci_high", "unreadable", "failed"}`, the three proportions in percent with 4
    decimals, the interval Wilson's 95 %, `unreadable` the number of completions without a letter, `failed` that of
    questions at which the model raised an error; both count as wrong.
    """
    rows = []
    for split in (OVERALL, *KINDS):
        members = [sample for sample in samples if split in (OVERALL, sample["kind"])]
        if members:
            rows.append({"split": split, **_count(members, parsed, correct)})
    return rows


def _count(samples: Sequence[dict[str, Any]], parsed: str, correct: str) -> dict[str, Any]:
    right = sum(sample[correct] for sample in samples)
    interval = wilson_interval(right, len(samples))
    return {
        "n": len(samples),
        "accuracy": _percent(right / len(samples)),
        "ci_low": _percent(interval.low),
        "ci_high": _percent(interval.high),
        "unreadable": sum(sample[parsed] is None and sample["error"] is None for sample in samples),
        "failed": sum(sample["error"] is not None for sample in samples),
    }


def _percent(share: float) -> float:
    return round(100 * share, 4)
