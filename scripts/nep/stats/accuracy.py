"""Accuracy with its interval, over all questions and by kind of question."""

from collections.abc import Sequence
from math import sqrt
from typing import Literal, NamedTuple

from nep.rows.sample import Sample
from nep.rows.score import Score

KINDS = ("hop1", "hop2", "hop3", "interpolation")
OVERALL = "overall"

# 97.5 % quantile of the standard normal distribution.
Z_95 = 1.959963984540054


class Interval(NamedTuple):
    """Bounds of a proportion, each in [0, 1]."""

    low: float
    high: float


def wilson_interval(successes: float, n: float, z: float = Z_95) -> Interval:
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


def accuracy_rows(
    samples: Sequence[Sample], task: str, variant: str, prefix: Literal["", "legacy_"] = ""
) -> list[Score]:
    """Scores overall and by kind, overall first, kinds in the order of `KINDS`, only those that occur.

    `prefix` tells which reading of the completions counts, the anchored one or the published one. Unreadable are those
    without a letter.
    """
    rows = []
    for split in (OVERALL, *KINDS):
        members = [sample for sample in samples if split in (OVERALL, sample.kind)]
        if members:
            right = [getattr(sample, f"{prefix}correct") for sample in members]
            unreadable = [sample for sample in members if getattr(sample, f"{prefix}parsed") is None]
            rows.append(score(task, variant, split, right, members, unreadable))
    return rows


def score(
    task: str, variant: str, split: str, right: Sequence[bool], samples: Sequence[Sample], unreadable: Sequence[Sample]
) -> Score:
    """The share of `right` answers and Wilson's 95 % interval, in percent with 4 decimals.

    Among `samples`, those at which the model raised an error have failed, and are not unreadable.
    """
    interval = wilson_interval(sum(right), len(right))
    return Score(
        task=task,
        variant=variant,
        split=split,
        n=len(right),
        accuracy=_percent(sum(right) / len(right)),
        ci_low=_percent(interval.low),
        ci_high=_percent(interval.high),
        unreadable=sum(sample.error is None for sample in unreadable),
        failed=sum(sample.error is not None for sample in samples),
    )


def _percent(share: float) -> float:
    return round(100 * share, 4)
