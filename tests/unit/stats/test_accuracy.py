"""Accuracy and Wilson's interval, against scipy."""

import pytest
from scipy.stats import binomtest
from support.rows import sample

from nep.rows.sample import Sample
from nep.stats.accuracy import accuracy_rows, wilson_interval


@pytest.mark.parametrize(
    ("successes", "n"), [(0, 1), (1, 1), (0, 240), (240, 240), (60, 240), (7, 9), (1, 1000), (556, 1056)]
)
def test_interval_agrees_with_scipy(successes: int, n: int):
    expected = binomtest(successes, n).proportion_ci(confidence_level=0.95, method="wilson")
    assert wilson_interval(successes, n) == pytest.approx((expected.low, expected.high), abs=1e-12)


@pytest.mark.parametrize(("successes", "n"), [(0, 0), (-1, 4), (5, 4)])
def test_impossible_counts_are_refused(successes: int, n: int):
    with pytest.raises(ValueError, match="successes"):
        wilson_interval(successes, n)


def answered(kind: str, parsed: str | None, correct: bool, error: str | None = None) -> Sample:
    legacy = {"legacy_parsed": "A", "legacy_correct": not correct}
    return sample("q", kind=kind, parsed=parsed, correct=correct, error=error, **legacy)


def test_rows_count_overall_and_each_kind_that_occurs():
    samples = [
        answered("hop2", "A", True),
        answered("hop1", "B", True),
        answered("hop1", None, False),
        answered("hop1", "C", False),
        answered("interpolation", "D", True),
    ]

    rows = {row.split: row for row in accuracy_rows(samples, "futurebench", "direct")}
    legacy = {row.split: row for row in accuracy_rows(samples, "futurebench", "direct_legacy", "legacy_")}

    assert list(rows) == ["overall", "hop1", "hop2", "interpolation"]
    assert rows["overall"].n == 5
    assert rows["overall"].accuracy == 60.0
    assert rows["overall"].unreadable == 1
    assert rows["hop1"].n == 3
    assert rows["hop1"].accuracy == 33.3333
    assert legacy["overall"].accuracy == 40.0
    assert legacy["overall"].unreadable == 0
    interval = binomtest(3, 5).proportion_ci(method="wilson")
    assert (rows["overall"].ci_low, rows["overall"].ci_high) == (
        round(100 * interval.low, 4),
        round(100 * interval.high, 4),
    )


def test_a_question_at_which_the_model_failed_is_wrong_and_counted_apart():
    failed = answered("hop1", None, False, "OutOfMemoryError")
    samples = [answered("hop1", "A", True), answered("hop1", None, False), failed]
    overall, _ = accuracy_rows(samples, "futurebench", "direct")
    assert (overall.n, overall.accuracy, overall.unreadable, overall.failed) == (3, 33.3333, 1, 1)
