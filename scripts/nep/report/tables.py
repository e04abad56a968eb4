"""Scores as a CSV file and as the tables of the page: one over all benchmarks, one for each way of asking."""

from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd

from nep.benchmarks.shown import shown
from nep.report.benchmarks import OVERALL, split_order, task_order
from nep.report.collect import BASE, REFERENCE, EvaluatedModel, ModelName, Run, Stage
from nep.report.seeds import Questions, compare_over_seeds, seed_of, spread
from nep.rows.sample import Sample
from nep.rows.score import LEGACY, Score, variant_label
from nep.stats.paired import Paired, paired

CSV_COLUMNS = (
    *("experiment", "stage", "task", "variant", "split", "n"),
    *("accuracy", "ci_low", "ci_high", "unreadable", "failed"),
)
NUMBERS = {"n": "int64", **dict.fromkeys(CSV_COLUMNS[6:9], "float64"), **dict.fromkeys(CSV_COLUMNS[9:], "Int64")}
CONTROL_NAMES = {"shuffled_frames": "Frames shuffled", "constant_frame": "One frame repeated", "text_only": "No video"}
# With more splits than this, a table has a row for each of them and a column for each model.
MOST_COLUMNS = 8


@dataclass(frozen=True)
class Cell:
    """One accuracy (percent) in a table; `spread`: standard deviation of those of several seeds, whose mean it is."""

    score: Score
    best: bool
    spread: float | None = None


@dataclass(frozen=True)
class TableRow:
    """One model's accuracies in the order of the table's splits; `gain` is in points over the stage before."""

    experiment: str
    stage: Stage
    cells: list[Cell | None]
    gain: float | None


@dataclass(frozen=True)
class ResultTable:
    """All models under one task and variant. `counts` holds the number of questions of each split."""

    task: str
    variant: str
    splits: list[str]
    counts: list[int]
    rows: list[TableRow]

    @property
    def is_long(self) -> bool:
        """Whether it is better read with a row for each split."""
        return len(self.splits) > MOST_COLUMNS

    @property
    def overall(self) -> dict[ModelName, Cell]:
        """The overall accuracy of each model that has one."""
        if OVERALL not in self.splits:
            return {}
        place = self.splits.index(OVERALL)
        return {ModelName(row.experiment, row.stage): cell for row in self.rows if (cell := row.cells[place])}


@dataclass(frozen=True)
class SeedRow:
    """The overall accuracy of a training with several seeds under one task and variant: mean, and each seed's."""

    model: ModelName
    task: str
    variant: str
    mean: Cell
    seeds: list[tuple[int, Score]]


@dataclass(frozen=True)
class LeftOutRow:
    """A benchmark, why it was not asked, and of which models, where not of all."""

    task: str
    reason: str
    models: list[ModelName]


@dataclass(frozen=True)
class ControlRow:
    """One model with its frames in order, and under a control that destroys their order or content.

    `p_value`: of McNemar's exact test between both, on the same questions; None where no sample has both.
    """

    experiment: str
    stage: Stage
    task: str
    variant: str
    control: str
    ordered: Score
    controlled: Score
    p_value: float | None
    finding: str


@dataclass(frozen=True)
class ParsingRow:
    """How one model's answers were read: anchored parser against the published first-capital rule."""

    experiment: str
    stage: Stage
    task: str
    variant: str
    anchored: Score
    legacy: Score | None


def score_table(models: Iterable[EvaluatedModel]) -> pd.DataFrame:
    """Every score of every model as a row of `CSV_COLUMNS`, legacy and control variants included; in percent.

    Models keep their order, a mean over seeds stands before these; within a model, rows are sorted by task, variant
    and split. Intervals may be NaN, counts NA.
    """
    rows = [
        (one.experiment, one.stage, *(getattr(score, name) for name in CSV_COLUMNS[2:]))
        for model in models
        for one in (model, *model.members)
        for score in sorted(one.scores, key=_score_order)
    ]
    return pd.DataFrame(rows, columns=CSV_COLUMNS).astype(NUMBERS)


def results_csv(models: Iterable[EvaluatedModel]) -> str:
    """`score_table` as CSV; accuracies with two decimals; empty where there is no interval or nothing is read."""
    return score_table(models).to_csv(index=False, float_format="%.2f", lineterminator="\n")


def result_tables(run: Run) -> list[ResultTable]:
    """One table for each task and variant, in the order of the benchmarks, a task's headline variant first."""
    scores = [score for model in run.models for score in model.scores]
    asked = {(score.task, score.variant) for score in scores if is_plain(score.variant)}
    headline = run.config.report.headline
    order = sorted(asked, key=lambda item: (task_order(item[0]), item[1] != headline, item[1]))
    return [_result_table(run.models, task, variant) for task, variant in order]


def is_plain(variant: str) -> bool:
    """Whether a variant is neither a control nor the published parser's reading."""
    return not variant.endswith((*CONTROL_NAMES, "legacy"))


def headline_variants(tables: Iterable[ResultTable]) -> dict[str, str]:
    """The variant that leads each task, in the order of the tasks."""
    variants: dict[str, str] = {}
    for table in tables:
        variants.setdefault(table.task, table.variant)
    return variants


def answers_to(model: EvaluatedModel, task: str, variant: str, control: str | None = None) -> dict[str, Sample]:
    """A model's samples by question; without a `control`, those with the frames as they are."""
    return {
        row.question_id: row
        for row in model.samples
        if (row.task, row.variant, row.control) == (task, variant, control)
    }


def compare_answers(first: dict[str, Sample], second: dict[str, Sample]) -> Paired | None:
    """Right answers to the questions that both hold and that are right or wrong, not in part; None without any."""
    shared = sorted(
        key for key in first.keys() & second.keys() if None not in (first[key].correct, second[key].correct)
    )
    if not shared:
        return None
    return paired([first[key].correct for key in shared], [second[key].correct for key in shared])


def compare_models(
    first: EvaluatedModel,
    second: EvaluatedModel,
    task: str,
    variant: str,
    questions: Questions,
    control: str | None = None,
) -> Paired | None:
    """Two models, or a model with itself under a `control`, on the questions that both were asked; None without any."""
    sides = [
        {seed_of(one): answers_to(one, task, variant, shown) for one in model.checkpoints}
        for model, shown in ((first, None), (second, control))
    ]
    if all(None in side for side in sides):
        return compare_answers(*(side[None] for side in sides))
    return compare_over_seeds(*sides, questions)


def seed_rows(run: Run) -> list[SeedRow]:
    """Each training with several seeds, benchmark by benchmark and variant by variant; empty where there is none."""
    rows = []
    for table in result_tables(run):
        for model in run.models:
            cell = table.overall.get(model.name)
            if cell and model.members:
                scores = [(seed_of(one), find_score(one, table.task, table.variant, OVERALL)) for one in model.members]
                rows.append(SeedRow(model.name, table.task, table.variant, cell, scores))
    return rows


def left_out_rows(run: Run) -> list[LeftOutRow]:
    """What was not evaluated, by benchmark and reason; `models` is empty where it holds for all of them."""
    models: dict[tuple[str, str], list[ModelName]] = {}
    for model in run.models:
        for left_out in model.left_out:
            models.setdefault((left_out.task, left_out.reason), []).append(model.name)
    order = sorted(models, key=lambda key: (task_order(key[0]), key))
    return [LeftOutRow(*key, [] if len(models[key]) == len(run.models) else models[key]) for key in order]


def control_rows(run: Run) -> list[ControlRow]:
    """Each model and variant beside its controls, the headline variant first; empty where no control was run."""
    rows = []
    for table in result_tables(run):
        for control in run.config.evaluate.controls:
            for model in run.models:
                ordered = find_score(model, table.task, table.variant, OVERALL)
                controlled = find_score(model, table.task, variant_label(table.variant, control), OVERALL)
                if ordered and controlled and None not in (ordered.ci_low, controlled.ci_low):
                    names = (model.experiment, model.stage, table.task, table.variant, control)
                    compared = compare_models(model, model, table.task, table.variant, run.questions, control)
                    p_value = compared.p_value if compared else None
                    rows.append(ControlRow(*names, ordered, controlled, p_value, describe_control(ordered, controlled)))
    return rows


def describe_control(ordered: Score, controlled: Score) -> str:
    """What a control says, from the two intervals alone; beside chance, where the benchmark has one."""
    chance = shown(ordered.task).chance
    if chance is not None:
        if ordered.ci_low <= chance:
            return "Not above chance to begin with: there is nothing to lose."
        if controlled.ci_high < chance:
            return "Falls below chance: the changed frames mislead the model."
        if controlled.ci_low <= chance:
            return "Falls to chance: the answer is in the video, not in the text."
    if controlled.ci_high < ordered.ci_low:
        above = "" if chance is None else ", but stays above chance"
        return f"Falls{above}: part of the answer can be had without what the control destroys."
    return "No clear fall: these answers do not depend on what the control destroys."


def parsing_rows(run: Run) -> list[ParsingRow]:
    """Answers that do not count, and the legacy parser's figures, for every model and variant without control."""
    rows = []
    for table in result_tables(run):
        for model in run.models:
            anchored = find_score(model, table.task, table.variant, OVERALL)
            if anchored is None:
                continue
            rows.append(
                ParsingRow(
                    experiment=model.experiment,
                    stage=model.stage,
                    task=table.task,
                    variant=table.variant,
                    anchored=anchored,
                    legacy=find_score(model, table.task, table.variant + LEGACY, OVERALL),
                )
            )
    return rows


def find_score(model: EvaluatedModel, task: str, variant: str, split: str) -> Score | None:
    """The model's score under that task, variant and split."""
    wanted = (task, variant, split)
    return next((score for score in model.scores if (score.task, score.variant, score.split) == wanted), None)


def _score_order(score: Score) -> tuple[tuple[int, str], str, tuple[int, str]]:
    return (task_order(score.task), score.variant, split_order(score.split))


def _result_table(models: list[EvaluatedModel], task: str, variant: str) -> ResultTable:
    scores = [score for model in models for score in model.scores if (score.task, score.variant) == (task, variant)]
    splits = sorted({score.split for score in scores}, key=split_order)
    best = {split: max(round(score.accuracy, 1) for score in scores if score.split == split) for split in splits}
    rows = []
    for model in models:
        found = [find_score(model, task, variant, split) for split in splits]
        cells = [
            score and Cell(score, round(score.accuracy, 1) == best[score.split], _spread(model, score))
            for score in found
        ]
        if any(cells):
            rows.append(TableRow(model.experiment, model.stage, cells, _gain(models, model, task, variant)))
    each = [one for model in models for one in model.checkpoints]
    counts = [_largest_count(each, task, variant, split) for split in splits]
    return ResultTable(task, variant, splits, counts, rows)


def _spread(model: EvaluatedModel, score: Score) -> float | None:
    found = [find_score(one, score.task, score.variant, score.split) for one in model.members]
    return spread([one.accuracy for one in found])


def _largest_count(models: list[EvaluatedModel], task: str, variant: str, split: str) -> int:
    found = [find_score(model, task, variant, split) for model in models]
    return max(score.n for score in found if score)


def _gain(models: list[EvaluatedModel], model: EvaluatedModel, task: str, variant: str) -> float | None:
    """Points over the stage that this model was trained from: GRPO over SFT, otherwise over the base model."""
    if model.stage in (BASE, REFERENCE):
        return None
    same = [other for other in models if other.experiment == model.experiment and other.stage == "sft"]
    base = [other for other in models if other.stage == BASE]
    start = (same if model.stage == "grpo" and same else base)[0]
    before, after = (find_score(item, task, variant, OVERALL) for item in (start, model))
    return after.accuracy - before.accuracy if before and after else None
