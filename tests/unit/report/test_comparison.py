"""Pairs of models and kinds of questions, counted again from the samples."""

from pathlib import Path

import pytest
from scipy.stats import binomtest
from support.html_page import Page
from support.rows import cut, segment
from support.synthetic_run import SyntheticRun

from nep.config.whole import load_config
from nep.report.collect import Run, collect_run
from nep.report.comparison import breakdowns, comparisons, holm
from nep.report.page import render_page


@pytest.fixture
def run(tmp_path: Path) -> Run:
    synthetic = SyntheticRun(experiments={"a": ("sft", "grpo"), "b": ("grpo",)}, videos=12)
    return collect_run(synthetic.write(tmp_path), load_config(synthetic.config))


def right(run: Run, place: int, variant: str) -> dict[str, bool]:
    rows = run.models[place].samples
    return {row.question_id: row.correct for row in rows if row.variant == variant and not row.control}


def test_a_model_is_compared_with_what_it_came_from_and_with_its_like(run: Run) -> None:
    found = [(row.variant, row.before, row.after) for row in comparisons(run)]
    base, sft, grpo, other = ("base", "base"), ("a", "sft"), ("a", "grpo"), ("b", "grpo")
    pairs = [(base, sft), (base, grpo), (sft, grpo), (base, other), (grpo, other)]
    assert found == [(variant, *pair) for variant in ("reason", "direct") for pair in pairs]


def test_counts_are_those_of_the_samples(run: Run) -> None:
    row = comparisons(run)[0]
    before, after = right(run, 0, "reason"), right(run, 1, "reason")
    gained = sum(after[key] and not before[key] for key in before)
    lost = sum(before[key] and not after[key] for key in before)
    assert (row.counts.gained, row.counts.lost) == (gained, lost)
    assert row.counts.p_value == pytest.approx(binomtest(gained, gained + lost).pvalue)
    assert row.mark == "**"


def test_p_values_are_adjusted_by_how_many_they_are(run: Run) -> None:
    # By the definition: of the k-th smallest of n, the largest of (n - j + 1) p_j over the j <= k.
    p_values = [0.03, 0.01, 0.04, 0.02, 0.6]
    ordered = sorted(p_values)
    by_definition = {
        p: min(1.0, max((len(ordered) - j) * ordered[j] for j in range(k + 1))) for k, p in enumerate(ordered)
    }
    assert holm(p_values) == pytest.approx([by_definition[p] for p in p_values])
    assert holm([]) == []
    rows = [row for row in comparisons(run) if row.variant == "direct"]
    assert [row.adjusted for row in rows] == holm([row.counts.p_value for row in rows])


def test_breakdowns_hold_every_question_once(run: Run) -> None:
    found = {breakdown.title: breakdown for breakdown in breakdowns(run)}
    # All clips of this run are of one length and of one source.
    assert list(found) == ["Place of the true option"]
    breakdown = found["Place of the true option"]
    assert breakdown.groups == ["A", "B", "C", "D"]
    assert sum(breakdown.counts) == len(run.questions)
    for place, (_, cells) in enumerate(breakdown.rows):
        answers = right(run, place, "reason")
        for letter, cell in zip(breakdown.groups, cells, strict=True):
            members = [answers[key] for key in answers if run.questions[key].answer == letter]
            assert cell.n == len(members)
            assert cell.accuracy == pytest.approx(100 * sum(members) / len(members))


def test_lengths_are_three_groups_and_sources_are_named(run: Run) -> None:
    for place, (identity, question) in enumerate(sorted(run.questions.items())):
        facts = question.record.model_copy(update={"source": "kitchen" if place % 2 else "street"})
        run.questions[identity] = question.model_copy(update={"record": facts})
        first = segment(question.video_id, "first", 30 + int(identity.split("-")[2]))
        run.cuts[question.video_id] = cut(question.video_id, first=first)
    found = {breakdown.title: breakdown for breakdown in breakdowns(run)}
    assert found["Source"].groups == ["kitchen", "street"]
    assert found["Length of what is seen"].groups == ["shortest third", "middle third", "longest third"]
    assert found["Length of what is seen"].counts == [16, 16, 16]


def test_the_page_shows_pairs_and_steps_that_were_left_out(tmp_path: Path) -> None:
    synthetic = SyntheticRun(videos=6, skipped_steps=2)
    page = Page(render_page(collect_run(synthetic.write(tmp_path), load_config(synthetic.config))))
    assert "comparison" in page.ids
    assert "SFT : 2 steps left out" in page.text
    assert "Place of the true option" in page.text
