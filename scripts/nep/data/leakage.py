"""What a set's questions give away without their videos: rules on the form of the options, and a trained baseline."""

import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, hstack
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold

from nep.data.bounds import overlap
from nep.data.draw import take_first_by_hash
from nep.rows.question import LETTERS
from nep.stats.accuracy import wilson_interval

# By chance a rule on the form of options is right in 25 % of the questions; an interval outside of this is a bias.
BIAS_BOUND = (0.15, 0.35)
FOLDS = 5
# With fewer videos a fold teaches nothing; more questions than this change the figure little and cost time.
MIN_VIDEOS = 2 * FOLDS
MAX_QUESTIONS = 2000
METHOD = (
    "logistic regression on the options' words and word pairs, relative length, overlap with the question, and letter; "
    f"{FOLDS}-fold cross-validation grouped by video"
)

RULES = ("longest", "shortest", "most_overlapping", "least_overlapping")


class Choice(NamedTuple):
    """A question as a reader without the video has it; options in the order of LETTERS, `right` is an index of them."""

    id: str
    video_id: str
    question: str
    options: tuple[str, ...]
    right: int


def choice(identity: str, video_id: str, question: str, options: dict[str, str], letter: str) -> Choice:
    """A choice from options by letter."""
    return Choice(identity, video_id, question, tuple(options[name] for name in LETTERS), LETTERS.index(letter))


def option_bias(choices: Sequence[Choice]) -> dict[str, Any]:
    """How often each of RULES is right, in percent with its 95 % interval; those that tie share the question.

    `within_bound` is false where the whole interval lies outside BIAS_BOUND: a small set is not blamed for its luck.
    """
    lengths, overlaps = _forms(choices)
    right = np.array([item.right for item in choices])
    rated = zip(RULES, (lengths, -lengths, overlaps, -overlaps), strict=True)
    return {name: _share(_successes(values, right), len(choices)) for name, values in rated}


def text_only(choices: Sequence[Choice], seed: int) -> dict[str, Any] | None:
    """Accuracy of METHOD, which sees no video, in percent with its 95 % interval; None below MIN_VIDEOS videos.

    At most MAX_QUESTIONS questions, the first by hash, are looked at.
    """
    taken = take_first_by_hash(choices, MAX_QUESTIONS, seed)
    videos = [item.video_id for item in taken]
    if len(set(videos)) < MIN_VIDEOS:
        return None
    features = _features(taken)
    right = np.array([item.right for item in taken])
    labels = (np.arange(len(LETTERS)) == right[:, None]).ravel()
    correct = 0
    for train, test in GroupKFold(FOLDS).split(right, groups=videos):
        model = LogisticRegression(solver="liblinear", random_state=0)
        model.fit(features[_option_rows(train)], labels[_option_rows(train)])
        scores = model.decision_function(features[_option_rows(test)]).reshape(len(test), len(LETTERS))
        correct += int((scores.argmax(axis=1) == right[test]).sum())
    measured = _share(correct, len(taken))
    return {
        "n": len(taken),
        "accuracy": measured["rate"],
        "ci_low": measured["ci_low"],
        "ci_high": measured["ci_high"],
        "method": METHOD,
    }


def warn_option_bias(path: str, bias: dict[str, Any]) -> None:
    """One line on stderr for each rule that is right more often, or more seldom, than BIAS_BOUND allows."""
    low, high = (100 * bound for bound in BIAS_BOUND)
    for name, found in bias.items():
        if not found["within_bound"]:
            rate = f"{found['rate']:g} % ({found['ci_low']:g} to {found['ci_high']:g})"
            print(
                f"warning: {path}: the {name.replace('_', ' ')} option is the right one in {rate} of the questions; "
                f"{low:g} to {high:g} % is the bound",
                file=sys.stderr,
            )


def _forms(choices: Sequence[Choice]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Characters, and overlap with the question, of each option: both (questions, letters)."""
    lengths = [[len(option) for option in item.options] for item in choices]
    overlaps = [[overlap(item.question, option) for option in item.options] for item in choices]
    return np.array(lengths), np.array(overlaps)


def _successes(values: NDArray[np.int64], right: NDArray[np.int64]) -> float:
    """How many questions the option of the largest value answers; where k tie, one of them is right by 1/k."""
    best = values == values.max(axis=1, keepdims=True)
    return float((best[np.arange(len(right)), right] / best.sum(axis=1)).sum())


def _share(successes: float, n: int) -> dict[str, Any]:
    interval = wilson_interval(successes, n)
    return {
        "rate": round(100 * successes / n, 2),
        "ci_low": round(100 * interval.low, 2),
        "ci_high": round(100 * interval.high, 2),
        "within_bound": interval.high >= BIAS_BOUND[0] and interval.low <= BIAS_BOUND[1],
    }


def _option_rows(questions: NDArray[np.intp]) -> NDArray[np.intp]:
    return (questions[:, None] * len(LETTERS) + np.arange(len(LETTERS))).ravel()


def _features(choices: Sequence[Choice]) -> csr_matrix:
    """A row for each option, in the order of questions and letters."""
    # Hashed, hence without a vocabulary that could pass from the test folds to the others.
    vectorizer = HashingVectorizer(n_features=2**18, ngram_range=(1, 2), binary=True, norm=None, alternate_sign=False)
    texts = vectorizer.transform(option for item in choices for option in item.options)
    lengths, overlaps = _forms(choices)
    longer = lengths / lengths.mean(axis=1, keepdims=True) - 1
    closer = overlaps - overlaps.mean(axis=1, keepdims=True)
    form = csr_matrix(np.stack([longer.ravel(), closer.ravel()], axis=1))
    letters = np.tile(np.eye(len(LETTERS)), (len(choices), 1))
    return hstack([texts, form, csr_matrix(letters)]).tocsr()
