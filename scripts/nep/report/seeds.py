"""Models that were trained with several seeds: their mean as one model, and their answers side by side."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from statistics import mean, stdev
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nep.layout.models import experiment_and_seed
from nep.rows.question import AskedQuestion
from nep.rows.sample import Sample
from nep.rows.score import LEGACY, Score, variant_label
from nep.stats.accuracy import OVERALL
from nep.stats.paired import Paired
from nep.stats.seeds import accuracy_interval, paired_over_seeds

if TYPE_CHECKING:
    # It reads the models that are made into means here.
    from nep.report.collect import EvaluatedModel

Questions = Mapping[str, AskedQuestion]
# Answers of one model by question.
Answers = Mapping[str, Sample]


def means_over_seeds(models: Sequence["EvaluatedModel"], questions: Questions) -> list["EvaluatedModel"]:
    """The models, where those of one experiment and stage with several seeds are one: under the experiment's name, with
    the means of their scores, and with them as its members."""
    groups: dict[tuple[str, str], list[EvaluatedModel]] = {}
    for model in models:
        groups.setdefault((experiment_and_seed(model.experiment)[0], model.stage), []).append(model)
    return [
        members[0] if members[0].experiment == experiment else _mean_model(experiment, members, questions)
        for (experiment, _), members in groups.items()
    ]


def seed_of(model: "EvaluatedModel") -> int | None:
    """The seed of one training among several; None for other models."""
    return experiment_and_seed(model.experiment)[1]


def spread(values: Sequence[float]) -> float | None:
    """Standard deviation over seeds; None for one seed."""
    return stdev(values) if len(values) > 1 else None


def compare_over_seeds(
    first: Mapping[int | None, Answers], second: Mapping[int | None, Answers], questions: Questions
) -> Paired | None:
    """Two models' answers by seed, paired by question and by seed; a model without seeds stands beside each of the
    other's. None where they share no seed, or not two videos with questions that are right or wrong."""
    if None in first and None in second:
        raise ValueError("neither model has seeds: compare their answers by themselves")
    seeds = sorted((set(first) | set(second)) - {None})
    shared = [seed for seed in seeds if all(seed in answers or None in answers for answers in (first, second))]
    sides = [[answers.get(seed, answers.get(None)) for seed in shared] for answers in (first, second)]
    if not shared:
        return None
    names = sorted(set.intersection(*(_decided(answers) for side in sides for answers in side)))
    clusters = [_video(sides[0][0][name], questions) for name in names]
    if len(set(clusters)) < 2:
        return None
    return paired_over_seeds(*(_right(side, names) for side in sides), clusters)


def mean_score(scores: Sequence[Score], answers: Sequence[Answers], questions: Questions) -> Score:
    """The mean of the seeds' scores on one split; counts are those of all seeds' answers.

    `answers`: each seed's to the questions of the split. There is no interval where these are not what was counted, or
    are about fewer than two videos.
    """
    names = sorted(set.intersection(*map(_decided, answers))) if answers else []
    clusters = [_video(answers[0][name], questions) for name in names]
    low = high = None
    if len(set(clusters)) > 1 and all(score.n == len(names) for score in scores):
        interval = accuracy_interval(_right(answers, names), clusters)
        low, high = 100 * interval.low, 100 * interval.high
    unreadable = [score.unreadable for score in scores]
    return scores[0].model_copy(
        update={
            "n": sum(score.n for score in scores),
            "accuracy": mean(score.accuracy for score in scores),
            "ci_low": low,
            "ci_high": high,
            "unreadable": None if None in unreadable else sum(unreadable),
            "failed": sum(score.failed for score in scores),
        }
    )


def _mean_model(experiment: str, members: Sequence["EvaluatedModel"], questions: Questions) -> "EvaluatedModel":
    by_place = [{(score.task, score.variant, score.split): score for score in model.scores} for model in members]
    labelled = [_by_label(model.samples) for model in members]
    scores = []
    for place in by_place[0]:
        if not all(place in found for found in by_place):
            continue
        task, variant, split = place
        answers = [_of_split(samples.get((task, variant), {}), split) for samples in labelled]
        scores.append(mean_score([found[place] for found in by_place], answers, questions))
    left_out = dict.fromkeys(row for model in members for row in model.left_out)
    return replace(
        members[0],
        experiment=experiment,
        scores=scores,
        samples=[],
        left_out=tuple(left_out),
        cache_check=None,
        members=tuple(members),
    )


def _by_label(samples: Iterable[Sample]) -> dict[tuple[str, str], dict[str, Sample]]:
    """Answers by task and by the variant as scores name it: with the control, and by the published reading."""
    found: dict[tuple[str, str], dict[str, Sample]] = {}
    for row in samples:
        found.setdefault((row.task, variant_label(row.variant, row.control)), {})[row.question_id] = row
        if row.control is None and row.legacy_correct is not None:
            read = row.model_copy(update={"correct": row.legacy_correct})
            found.setdefault((row.task, row.variant + LEGACY), {})[row.question_id] = read
    return found


def _of_split(answers: Answers, split: str) -> Answers:
    return {
        name: row
        for name, row in answers.items()
        if row.counted is not False and (split in (OVERALL, row.kind) or split in row.kinds)
    }


def _decided(answers: Answers) -> set[str]:
    """Questions whose answer is right or wrong, not in part."""
    return {name for name, row in answers.items() if row.correct is not None}


def _right(answers: Sequence[Answers], names: Sequence[str]) -> NDArray[np.bool_]:
    return np.array([[one[name].correct for name in names] for one in answers], dtype=bool)


def _video(sample: Sample, questions: Questions) -> str:
    """What a question is about, as others may be; itself where that is not known."""
    known = questions.get(sample.question_id)
    return (known.video_id if known else sample.video_id) or sample.question_id
