"""Rows of `scores.json`: accuracies of a model, and what it was not evaluated on."""

from nep.rows.base import Row

# Behind a variant whose answers are read as the published evaluation reads them.
LEGACY = "_legacy"


def variant_label(variant: str, control: str | None) -> str:
    """The `variant` of a score: how was asked, with what was shown in the place of the video, if anything was."""
    return variant if control is None else f"{variant}_{control}"


class Score(Row):
    """One accuracy with its 95 % interval, None where there are too few answers for one; all three in percent.

    Among the `n` answers, all counted as wrong: those without a readable answer (`unreadable`; None where a benchmark
    reads none), and those that the model did not give because it ended in an error (`failed`).
    """

    task: str
    variant: str
    split: str
    n: int
    accuracy: float
    ci_low: float | None
    ci_high: float | None
    unreadable: int | None = None
    failed: int = 0


class LeftOut(Row):
    """A benchmark, or one of its tasks, that a model was not evaluated on, and why."""

    task: str
    reason: str
