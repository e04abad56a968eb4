"""Cohen's kappa against another formula and against values from print."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from nep.stats.kappa import cohens_kappa

VERDICTS = st.sampled_from(["accept", "reject"])
PAIRS = st.lists(st.tuples(VERDICTS, VERDICTS), min_size=1, max_size=40)


@given(PAIRS)
def test_it_is_that_of_the_two_by_two_table(pairs: list[tuple[str, str]]) -> None:
    """2 (ad − bc) / ((a + b)(b + d) + (a + c)(c + d)): the closed form of two raters and two verdicts."""
    first, second = zip(*pairs, strict=True)
    a = pairs.count(("accept", "accept"))
    b = pairs.count(("accept", "reject"))
    c = pairs.count(("reject", "accept"))
    d = pairs.count(("reject", "reject"))
    below = (a + b) * (b + d) + (a + c) * (c + d)
    found = cohens_kappa(first, second)
    if below == 0:
        assert found is None
    else:
        assert found == pytest.approx(2 * (a * d - b * c) / below)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=2, max_size=40))
def test_it_is_that_of_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    first, second = zip(*pairs, strict=True)
    if len(set(first + second)) == 1:
        assert cohens_kappa(first, second) is None
    else:
        theirs = cohen_kappa_score(first, second)
        assert not math.isnan(theirs)
        assert cohens_kappa(first, second) == pytest.approx(theirs)


def test_without_items_it_is_not_defined_and_lengths_must_fit() -> None:
    assert cohens_kappa([], []) is None
    with pytest.raises(ValueError, match="shorter"):
        cohens_kappa(["accept"], [])
