"""One recipe trained with several seeds, asked one set of questions: its mean accuracy, and pairs of recipes.

Questions come in clusters (those about one video), and each seed's model answers all of them. A statement about the
recipe has to hold for other videos and for other seeds: both are random effects of a crossed design. The variance of
the mean is the sum of the mean squares of both over the number of answers (Searle, Casella and McCulloch, Variance
Components, 1992), the degrees of freedom are Satterthwaite's (1946). The exact variance is less by the mean square of
the interaction. With three seeds taking it off found a difference between equal recipes in up to 10 of 100 cases in
the place of 5, without it in 1 to 7: it stays.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from nep.stats.accuracy import Interval, wilson_interval
from nep.stats.paired import Paired

LEVEL = 0.95


@dataclass(frozen=True)
class MeanVariance:
    """A mean over seeds and questions, the variance of that mean, and its degrees of freedom."""

    mean: float
    variance: float
    degrees: float
    clusters: int

    @property
    def margin(self) -> float:
        """Half the width of the 95 % interval by Student's t."""
        return self.quantile * self.variance**0.5

    @property
    def quantile(self) -> float:
        """97.5 % quantile of Student's t."""
        return float(student.ppf((1 + LEVEL) / 2, self.degrees))


def mean_variance(values: NDArray[np.floating], clusters: Sequence[str]) -> MeanVariance:
    """The mean of `values` (seeds × questions) as an estimate for other seeds and other clusters of questions.

    Its variance is that of the clusters' means over seeds and that of the seeds' means over questions. With one seed it
    is that between clusters alone, and other seeds are not covered. Raises ValueError without two clusters, or where
    `clusters` does not name each question's.
    """
    seeds, questions = values.shape
    names, place = np.unique(np.asarray(clusters), return_inverse=True)
    if len(clusters) != questions or len(names) < 2:
        raise ValueError(f"need a cluster of each of {questions} questions, and two clusters; found {len(names)}")
    sizes = np.bincount(place)
    mean = float(values.mean())
    sums = np.bincount(place, values.mean(axis=0))
    scale = len(names) / (len(names) - 1) / questions**2
    of_clusters = scale * float(((sums - mean * sizes) ** 2).sum())
    of_seeds = float(values.mean(axis=1).var(ddof=1)) / seeds if seeds > 1 else 0.0
    variance = of_clusters + of_seeds
    freedom = of_clusters**2 / (len(names) - 1) + (of_seeds**2 / (seeds - 1) if of_seeds else 0.0)
    # Without any variance the clusters' degrees of freedom remain.
    degrees = variance**2 / freedom if freedom else len(names) - 1.0
    return MeanVariance(mean, variance, degrees, len(names))


def accuracy_interval(right: NDArray[np.bool_], clusters: Sequence[str]) -> Interval:
    """95 % interval of the share of `right` answers (seeds × questions), within [0, 1].

    Wilson's, on as many independent answers as would have the variance of `mean_variance` (Korn and Graubard 1998), and
    with its quantile of Student's t. Where that variance is 0 each cluster counts as one answer.
    """
    found = mean_variance(right.astype(float), clusters)
    share = found.mean
    number = share * (1 - share) / found.variance if found.variance else found.clusters
    number = min(max(number, 1.0), right.size)
    return wilson_interval(share * number, number, found.quantile)


def paired_over_seeds(first: NDArray[np.bool_], second: NDArray[np.bool_], clusters: Sequence[str]) -> Paired:
    """Compare two recipes' right answers (seeds × questions each) to the same questions, with the same seeds.

    Answers are paired by question and seed; the counts are those of such pairs. Interval and two-sided p-value are of
    Student's t for the mean difference by `mean_variance`, about other seeds and other clusters. The p-value is not
    below 2 / 2^clusters, the least that an exact test of signs could find.
    """
    if first.shape != second.shape:
        raise ValueError(f"two recipes' answers differ in number: {first.shape} and {second.shape}")
    gained, lost = int((second & ~first).sum()), int((first & ~second).sum())
    found = mean_variance(second.astype(float) - first.astype(float), clusters)
    if found.variance:
        p_value = 2 * float(student.sf(abs(found.mean) / found.variance**0.5, found.degrees))
    else:
        p_value = 1.0 if found.mean == 0 else 0.0
    return Paired(
        both=int((first & second).sum()),
        gained=gained,
        lost=lost,
        neither=int((~first & ~second).sum()),
        difference=100 * found.mean,
        low=100 * max(-1.0, found.mean - found.margin),
        high=100 * min(1.0, found.mean + found.margin),
        p_value=max(p_value, 2.0 ** (1 - found.clusters)),
    )
