"""Paired statistics against their definitions and another library."""

from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from nep.stats.paired import paired

ANSWERS = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60)


@given(ANSWERS)
def test_counts_and_p_value_by_hand(pairs: list[tuple[bool, bool]]) -> None:
    found = paired([before for before, _ in pairs], [after for _, after in pairs])
    gained, lost = pairs.count((False, True)), pairs.count((True, False))
    assert (found.both, found.gained) == (pairs.count((True, True)), gained)
    assert (found.lost, found.neither) == (lost, pairs.count((False, False)))
    assert found.difference == pytest.approx(100 * (gained - lost) / len(pairs))
    changed = gained + lost
    tail = sum(comb(changed, count) for count in range(min(gained, lost) + 1)) / 2**changed
    assert found.p_value == pytest.approx(min(1.0, 2 * tail))
    assert -100 <= found.low <= found.difference <= found.high <= 100


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    """Exact coverage at 40 questions, over all outcomes of a multinomial with gains 0.25 and losses 0.1."""
    number, gain, loss = 40, 0.25, 0.1
    covered = 0.0
    for gained in range(number + 1):
        for lost in range(number + 1 - gained):
            rest = number - gained - lost
            ways = comb(number, gained) * comb(number - gained, lost)
            chance = ways * gain**gained * loss**lost * (1 - gain - loss) ** rest
            before = [False] * gained + [True] * lost + [True] * rest
            after = [True] * gained + [False] * lost + [True] * rest
            found = paired(before, after)
            covered += chance * (found.low <= 100 * (gain - loss) <= found.high)
    assert 0.94 < covered < 0.97
    assert norm.ppf(0.975) == pytest.approx(1.959963984540054)


def test_without_questions_there_is_nothing_to_compare() -> None:
    with pytest.raises(ValueError, match="no questions"):
        paired([], [])
    with pytest.raises(ValueError, match="shorter"):
        paired([True], [])
