"""Two models on the same questions: is the difference more than chance?"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

from scipy.stats import binomtest

from nep.stats.accuracy import Z_95


@dataclass(frozen=True)
class Paired:
    """Counts of questions by which of two models is right, and what follows from them.

    Attributes:
        both, gained, lost, neither: right in both, only in the second, only in the first, in none.
        difference: second minus first, in percentage points; low, high: its 95 % interval.
        p_value: of McNemar's exact test, two-sided.
    """

    both: int
    gained: int
    lost: int
    neither: int
    difference: float
    low: float
    high: float
    p_value: float


def paired(first: Sequence[bool], second: Sequence[bool]) -> Paired:
    """Compare two models' right answers to the same questions in the same order.

    Test: McNemar (1947), exact: under the null hypothesis gains are Binomial(gains + losses, 1/2). Interval: Bonett and
    Price (2012), which adds one to gains and losses. Raises ValueError where there is no question.
    """
    pairs = list(zip(first, second, strict=True))
    if not pairs:
        raise ValueError("no questions to compare two models on")
    gained = sum(after and not before for before, after in pairs)
    lost = sum(before and not after for before, after in pairs)
    both = sum(before and after for before, after in pairs)
    more, less = ((count + 1) / (len(pairs) + 2) for count in (gained, lost))
    margin = Z_95 * sqrt((more + less - (more - less) ** 2) / (len(pairs) + 2))
    return Paired(
        both=both,
        gained=gained,
        lost=lost,
        neither=len(pairs) - both - gained - lost,
        difference=100 * (gained - lost) / len(pairs),
        low=100 * max(-1.0, more - less - margin),
        high=100 * min(1.0, more - less + margin),
        p_value=float(binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0,
    )
