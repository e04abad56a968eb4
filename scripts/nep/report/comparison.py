"""What a reviewer asks beyond the accuracies: pairs of models on the same questions, and kinds of questions."""

from collections.abc import Iterator
from dataclasses import dataclass

from nep.report.benchmarks import OVERALL
from nep.report.collect import BASE, REFERENCE, Asked, EvaluatedModel, ModelName, Run
from nep.report.seeds import Questions, mean_score
from nep.report.tables import answers_to, compare_models, headline_variants, result_tables
from nep.rows.sample import Sample
from nep.rows.score import Score
from nep.stats.accuracy import wilson_interval
from nep.stats.paired import Paired

LENGTHS = ("shortest third", "middle third", "longest third")
MOST_GROUPS = 8
LEVEL = 0.05


@dataclass(frozen=True)
class Comparison:
    """Two models on the same questions of one benchmark, asked in one way.

    `adjusted`: the p-value after Holm's correction over all pairs of that benchmark and way of asking.
    """

    task: str
    variant: str
    before: ModelName
    after: ModelName
    counts: Paired
    adjusted: float

    @property
    def mark(self) -> str:
        """* where p < 0.05, ** where it is so after Holm's correction."""
        return "**" if self.adjusted < LEVEL else "*" if self.counts.p_value < LEVEL else ""


@dataclass(frozen=True)
class Breakdown:
    """Accuracy of each model on one benchmark by groups of questions; cells in the order of `groups`."""

    task: str
    variant: str
    title: str
    groups: list[str]
    counts: list[int]
    rows: list[tuple[ModelName, list[Score]]]


def comparisons(run: Run) -> list[Comparison]:
    """Pairs whose difference means something, benchmark by benchmark, the headline variant first."""
    return [
        row for table in result_tables(run) for row in _compared(run.models, table.task, table.variant, run.questions)
    ]


def gain_marks(compared: list[Comparison]) -> dict[tuple[str, str, ModelName], str]:
    """The mark of each model's gain over the one it was trained from, by (task, variant, model)."""
    marks = {}
    for row in compared:
        after_sft = row.before.experiment == row.after.experiment and row.before.stage == "sft"
        # A model's pair with SFT, where there is one, comes after its pair with the base model.
        if row.after.stage != REFERENCE and (after_sft or row.before.stage == BASE):
            marks[row.task, row.variant, row.after] = row.mark
    return marks


def breakdowns(run: Run) -> list[Breakdown]:
    """Each benchmark's headline variant by place of the true option, length of the seen part and source of the video.

    Questions of which that is not known are in no group.
    """
    made = []
    for task, variant in headline_variants(result_tables(run)).items():
        answered = [(model.name, [answers_to(one, task, variant) for one in model.checkpoints]) for model in run.models]
        asked = {identity: row for _, seeds in answered for samples in seeds for identity, row in samples.items()}
        questions = {identity: run.asked(row) for identity, row in asked.items()}
        lengths = _thirds({identity: _seconds(run, row) for identity, row in questions.items()})
        kinds: dict[str, dict[str, str | None]] = {
            "Place of the true option": {identity: _true_place(row) for identity, row in questions.items()},
            "Length of what is seen": lengths,
            "Source": {identity: row.source for identity, row in questions.items()},
        }
        for title, names in kinds.items():
            groups = {identity: name for identity, name in names.items() if name is not None}
            # One group says no more than the accuracy of all.
            if len(set(groups.values())) > 1:
                made.append(_breakdown(task, variant, title, groups, answered, run.questions))
    return made


def holm(p_values: list[float]) -> list[float]:
    """p-values adjusted for their number (Holm 1979), in the order given."""
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = largest
    return adjusted


def _compared(models: list[EvaluatedModel], task: str, variant: str, questions: Questions) -> list[Comparison]:
    found = [
        (before.name, after.name, counts)
        for before, after in _pairs(models)
        if (counts := compare_models(before, after, task, variant, questions))
    ]
    adjusted = holm([counts.p_value for _, _, counts in found])
    return [Comparison(task, variant, *pair, value) for pair, value in zip(found, adjusted, strict=True)]


def _pairs(models: list[EvaluatedModel]) -> Iterator[tuple[EvaluatedModel, EvaluatedModel]]:
    """Base and trained models, stages of one experiment, one stage of two experiments, anything and a reference."""
    for place, after in enumerate(models):
        for before in models[:place]:
            related = before.experiment == after.experiment or before.stage == after.stage
            if related or before.stage == BASE or after.stage == REFERENCE:
                yield before, after


def _true_place(asked: Asked) -> str | None:
    return asked.answer if asked.options and asked.answer in asked.options else None


def _seconds(run: Run, asked: Asked) -> float | None:
    """Length of the part that the model sees; None for a video that the split manifest does not have."""
    cut = run.cuts.get(asked.video_id)
    return cut.first.frames / cut.fps if cut else None


def _thirds(seconds: dict[str, float | None]) -> dict[str, str | None]:
    """Group of each question of a known length; equal lengths are in one group."""
    known = {identity: value for identity, value in seconds.items() if value is not None}
    ordered = sorted(known.values())
    bounds = [ordered[len(ordered) * part // 3] for part in (1, 2)] if ordered else []
    return {identity: LENGTHS[sum(value >= bound for bound in bounds)] for identity, value in known.items()}


def _breakdown(
    task: str,
    variant: str,
    title: str,
    group_of: dict[str, str],
    answered: list[tuple[ModelName, list[dict[str, Sample]]]],
    questions: Questions,
) -> Breakdown:
    sizes = {group: list(group_of.values()).count(group) for group in group_of.values()}
    largest = sorted(sizes, key=lambda group: (-sizes[group], group))[:MOST_GROUPS]
    groups = sorted(largest, key=lambda group: (LENGTHS.index(group) if group in LENGTHS else 0, group))
    rows = []
    for name, seeds in answered:
        if not seeds[0]:
            continue
        cells = []
        for group in groups:
            members = [_of_group(samples, group, group_of) for samples in seeds]
            scores = [_group_score(task, variant, samples) for samples in members]
            cells.append(mean_score(scores, members, questions) if len(seeds) > 1 else scores[0])
        rows.append((name, cells))
    return Breakdown(task, variant, title, groups, [sizes[group] for group in groups], rows)


def _of_group(samples: dict[str, Sample], group: str, group_of: dict[str, str]) -> dict[str, Sample]:
    return {name: row for name, row in samples.items() if group_of.get(name) == group and row.correct is not None}


def _group_score(task: str, variant: str, samples: dict[str, Sample]) -> Score:
    right = [row.correct for row in samples.values()]
    low, high = wilson_interval(sum(right), len(right)) if right else (0.0, 1.0)
    share = sum(right) / len(right) if right else 0.0
    return Score(
        task=task,
        variant=variant,
        split=OVERALL,
        n=len(right),
        accuracy=100 * share,
        ci_low=100 * low,
        ci_high=100 * high,
    )
