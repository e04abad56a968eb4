"""Means and pairs over seeds against textbook formulas written out otherwise, and against what they promise."""

import numpy as np
import pytest
from scipy.stats import f_oneway, t, ttest_1samp

from nep.stats.accuracy import wilson_interval
from nep.stats.seeds import accuracy_interval, mean_variance, paired_over_seeds

SEEDS, VIDEOS, EACH = 3, 20, 4


def named(videos: int, each: int) -> list[str]:
    return [f"v{video:03d}" for video in range(videos) for _ in range(each)]


def drawn(rng: np.random.Generator, of_video: float, of_seed: float, of_both: float, videos: int) -> np.ndarray:
    """Seeds × questions: effects of the video, of the seed, and of each answer."""
    shape = (SEEDS, videos, EACH)
    parts = [((1, videos, 1), of_video), ((SEEDS, 1, 1), of_seed), (shape, of_both)]
    return sum(rng.normal(0, scale, size) for size, scale in parts).reshape(SEEDS, -1) + np.zeros((1, videos * EACH))


@pytest.mark.parametrize("of_seed", [0.0, 0.5])
def test_it_is_the_analysis_of_variance_of_the_crossed_design(of_seed: float) -> None:
    """Mean squares from sums of squares over the cells, each a video's mean with one seed."""
    values = drawn(np.random.default_rng(4), 0.3, of_seed, 0.2, VIDEOS)
    cells = values.reshape(SEEDS, VIDEOS, EACH).mean(axis=2)
    grand = cells.mean()
    between_videos = SEEDS * ((cells.mean(axis=0) - grand) ** 2).sum()
    between_seeds = VIDEOS * ((cells.mean(axis=1) - grand) ** 2).sum()
    videos = between_videos / (VIDEOS - 1)
    seeds = between_seeds / (SEEDS - 1)
    found = mean_variance(values, named(VIDEOS, EACH))
    assert found.mean == pytest.approx(grand)
    assert found.variance == pytest.approx((videos + seeds) / (SEEDS * VIDEOS))
    degrees = (videos + seeds) ** 2 / (videos**2 / (VIDEOS - 1) + seeds**2 / (SEEDS - 1))
    assert found.degrees == pytest.approx(degrees)


def test_of_one_seed_it_is_the_t_test_over_videos() -> None:
    values = drawn(np.random.default_rng(1), 0.3, 0.0, 0.4, VIDEOS)[:1]
    found = mean_variance(values, named(VIDEOS, EACH))
    by_scipy = ttest_1samp(values.reshape(VIDEOS, EACH).mean(axis=1), 0.0)
    assert found.mean / found.variance**0.5 == pytest.approx(by_scipy.statistic)
    interval = by_scipy.confidence_interval()
    assert (found.mean - found.margin, found.mean + found.margin) == pytest.approx(tuple(interval))


def test_between_seeds_it_is_scipys_analysis_of_variance() -> None:
    """Where videos differ in nothing, the mean square of the seeds is scipy's F times the one within."""
    rng = np.random.default_rng(3)
    cells = rng.normal(0, 1, (SEEDS, VIDEOS))
    cells -= cells.mean(axis=0)
    found = mean_variance(cells, named(VIDEOS, 1))
    within = ((cells - cells.mean(axis=1, keepdims=True)) ** 2).sum() / (SEEDS * (VIDEOS - 1))
    assert found.variance == pytest.approx(f_oneway(*cells).statistic * within / (SEEDS * VIDEOS))


@pytest.mark.parametrize(("of_seed", "lowest"), [(0.0, 0.95), (0.03, 0.95), (0.2, 0.90)])
def test_the_interval_covers_the_truth_about_as_often_as_it_says(of_seed: float, lowest: float) -> None:
    """With three seeds: below 95 % where seeds differ much, as three tell little of their spread."""
    rng, clusters = np.random.default_rng(0), named(60, EACH)
    found = [mean_variance(drawn(rng, 0.2, of_seed, 0.3, 60), clusters) for _ in range(400)]
    assert lowest <= np.mean([abs(one.mean) <= one.margin for one in found]) <= 1


def test_questions_about_one_video_count_together() -> None:
    answers = np.repeat(np.random.default_rng(2).random((1, 60)) < 0.7, EACH, axis=1)
    together, apart = (accuracy_interval(answers, names) for names in (named(60, EACH), named(60 * EACH, 1)))
    once = accuracy_interval(answers[:, ::EACH], named(60, 1))
    assert together == pytest.approx(once)
    assert together.high - together.low > 1.7 * (apart.high - apart.low)


@pytest.mark.parametrize("right", [False, True])
def test_an_accuracy_without_variance_has_an_interval_of_as_many_answers_as_videos(right: bool) -> None:
    found = accuracy_interval(np.full((SEEDS, VIDEOS * EACH), right), named(VIDEOS, EACH))
    quantile = float(t.ppf(0.975, VIDEOS - 1))
    assert found == pytest.approx(wilson_interval(VIDEOS * right, VIDEOS, quantile))


def test_pairs_are_of_one_question_and_one_seed() -> None:
    first = np.array([[True, False, False, True], [True, True, False, False]])
    second = np.array([[True, True, False, False], [True, True, True, False]])
    found = paired_over_seeds(first, second, ["a", "a", "b", "c"])
    assert (found.both, found.gained, found.lost, found.neither) == (3, 2, 1, 2)
    assert found.difference == pytest.approx(100 / 8)
    assert found.low < found.difference < found.high


def test_interval_and_p_value_agree_on_what_is_a_difference() -> None:
    rng, clusters = np.random.default_rng(5), named(VIDEOS, EACH)
    for _ in range(60):
        first, second = rng.random((2, SEEDS, VIDEOS * EACH)) < np.array([0.6, 0.7])[:, None, None]
        found = paired_over_seeds(first, second, clusters)
        assert (found.p_value < 0.05) == (found.low > 0 or found.high < 0)


def test_equal_recipes_seldom_differ() -> None:
    """Recipes that are the same but for seeds, whose models differ: at most about one in twenty is found to differ."""
    rng, clusters = np.random.default_rng(6), named(40, EACH)
    found = 0
    for _ in range(400):
        skill = rng.beta(6, 2, (1, 40, 1)) + rng.normal(0, 0.03, (2 * SEEDS, 1, 1))
        answers = rng.random((2 * SEEDS, 40, EACH)) < skill
        first, second = answers.reshape(2, SEEDS, -1)
        found += paired_over_seeds(first, second, clusters).p_value < 0.05
    assert found / 400 < 0.06


def test_few_videos_never_prove_anything() -> None:
    wrong, right = (np.full((SEEDS, 8), value) for value in (False, True))
    found = paired_over_seeds(wrong, right, named(2, 4))
    assert (found.difference, found.p_value) == (100, 0.5)
    assert paired_over_seeds(right, right, named(2, 4)).p_value == 1


def test_what_cannot_be_weighed_is_refused() -> None:
    with pytest.raises(ValueError, match="two clusters; found 1"):
        mean_variance(np.zeros((2, 3)), ["a"] * 3)
    with pytest.raises(ValueError, match="a cluster of each of 3 questions"):
        mean_variance(np.zeros((2, 3)), ["a", "b"])
    with pytest.raises(ValueError, match="differ in number"):
        paired_over_seeds(np.zeros((2, 3), bool), np.zeros((2, 2), bool), ["a", "b", "c"])
