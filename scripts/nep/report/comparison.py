"""What a reviewer asks beyond the accuracies: pairs of models on the same questions, and kinds of questions."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from nep.evaluation.paired import Paired, paired
from nep.evaluation.statistics import wilson_interval
from nep.report.collect import BASE, EvaluatedModel, Row, Run, Score, Stage
from nep.report.results_table import OVERALL

LENGTHS = ("shortest third", "middle third", "longest third")
MOST_GROUPS = 8


@dataclass(frozen=True)
class Comparison:
    """Two stages of one experiment under one variant."""

    experiment: str
    variant: str
    before: Stage
    after: Stage
    counts: Paired

    @property
    def significant(self) -> bool:
        """Whether p < 0.05."""
        return self.counts.p_value < 0.05


@dataclass(frozen=True)
class Breakdown:
    """Accuracy of each model by groups of questions; cells in the order of `groups`."""

    title: str
    groups: list[str]
    counts: list[int]
    rows: list[tuple[str, Stage, list[Score]]]


def comparisons(run: Run) -> list[Comparison]:
    """Each stage beside the ones before it, the headline variant first."""
    headline = run.config.report.headline
    variants = sorted(run.config.evaluate.variants, key=lambda variant: (variant != headline, variant))
    return [
        Comparison(after.experiment, variant, before.stage, after.stage, counts)
        for variant in variants
        for before, after in _pairs(run.models)
        if (counts := _compare(before, after, variant))
    ]


def breakdowns(run: Run) -> list[Breakdown]:
    """The headline variant by place of the true option, length of the seen part and source of the video."""
    headline = run.config.report.headline
    answered = [(model, _samples(model, headline)) for model in run.models]
    ids = sorted({identity for _, samples in answered for identity in samples} & set(run.questions))
    if not ids:
        return []
    lengths = _thirds({identity: _seconds(run, identity) for identity in ids})
    kinds: tuple[tuple[str, Callable[[str], str]], ...] = (
        ("Place of the true option", lambda identity: run.questions[identity]["answer"]),
        ("Length of what is seen", lambda identity: lengths[identity]),
        ("Source", lambda identity: run.questions[identity]["record"].get("source") or "unknown"),
    )
    made = (_breakdown(title, {identity: group(identity) for identity in ids}, answered) for title, group in kinds)
    # One group says no more than the accuracy of all.
    return [breakdown for breakdown in made if len(breakdown.groups) > 1]


def _pairs(models: list[EvaluatedModel]) -> Iterator[tuple[EvaluatedModel, EvaluatedModel]]:
    for place, after in enumerate(models):
        for before in models[:place]:
            if before.stage == BASE or before.experiment == after.experiment:
                yield before, after


def _compare(before: EvaluatedModel, after: EvaluatedModel, variant: str) -> Paired | None:
    first, second = _samples(before, variant), _samples(after, variant)
    shared = sorted(first.keys() & second.keys())
    if not shared:
        return None
    return paired([first[identity]["correct"] for identity in shared], [second[key]["correct"] for key in shared])


def _samples(model: EvaluatedModel, variant: str) -> dict[str, Row]:
    return {row["question_id"]: row for row in model.samples if row["variant"] == variant and row["control"] is None}


def _seconds(run: Run, identity: str) -> float:
    """Length of the part that the model sees; 0 for a video that the split manifest does not have."""
    cut = run.cuts.get(run.questions[identity]["video_id"])
    return cut["first"]["frames"] / cut["fps"] if cut else 0.0


def _thirds(seconds: dict[str, float]) -> dict[str, str]:
    """Group of each question; equal lengths are in one group."""
    ordered = sorted(seconds.values())
    bounds = [ordered[len(ordered) * part // 3] for part in (1, 2)]
    return {identity: LENGTHS[sum(value >= bound for bound in bounds)] for identity, value in seconds.items()}


def _breakdown(
    title: str, group_of: dict[str, str], answered: list[tuple[EvaluatedModel, dict[str, Row]]]
) -> Breakdown:
    sizes = {group: list(group_of.values()).count(group) for group in group_of.values()}
    largest = sorted(sizes, key=lambda group: (-sizes[group], group))[:MOST_GROUPS]
    groups = sorted(largest, key=lambda group: (LENGTHS.index(group) if group in LENGTHS else 0, group))
    rows = []
    for model, samples in answered:
        cells = []
        for group in groups:
            right = [row["correct"] for identity, row in samples.items() if group_of.get(identity) == group]
            low, high = wilson_interval(sum(right), len(right)) if right else (0.0, 1.0)
            share = sum(right) / len(right) if right else 0.0
            cells.append(Score("", "", OVERALL, len(right), 100 * share, 100 * low, 100 * high))
        rows.append((model.experiment, model.stage, cells))
    return Breakdown(title, groups, [sizes[group] for group in groups], rows)
