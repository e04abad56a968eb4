"""Scores as a CSV file and as the tables of the page."""

import csv
import io
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from nep.report.collect import BASE, EvaluatedModel, Quarantined, Run, Score, Stage

CSV_COLUMNS = ("experiment", "stage", "task", "variant", "split", "n", "accuracy", "ci_low", "ci_high")
OVERALL = "overall"
SPLITS = (OVERALL, "hop1", "hop2", "hop3", "interpolation")
SPLIT_NAMES = {
    OVERALL: "Overall",
    "hop1": "1 hop",
    "hop2": "2 hops",
    "hop3": "3 hops",
    "interpolation": "Interpolation",
}
STAGE_NAMES = {"base": "Base", "sft": "SFT", "grpo": "GRPO"}
CONTROL_NAMES = {"shuffled_frames": "Frames shuffled", "constant_frame": "One frame repeated", "text_only": "No video"}
CHANCE = 25.0
# Tasks whose questions all have four options.
FOUR_OPTIONS = ("futurebench", "seedbench_r1")

ScoreRow = tuple[Any, ...]


@dataclass(frozen=True)
class Cell:
    """One accuracy (percent) in a table."""

    score: Score
    best: bool


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


@dataclass(frozen=True)
class ControlRow:
    """One model with its frames in order, and under a control that destroys their order or content."""

    experiment: str
    stage: Stage
    task: str
    variant: str
    control: str
    ordered: Score
    controlled: Score
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
    unreadable: int
    answers: int


def score_rows(models: Iterable[EvaluatedModel]) -> list[ScoreRow]:
    """Every score of every model in the order of `CSV_COLUMNS`, legacy and control variants among them.

    Models keep their order; within one, rows are sorted by task, variant and split.
    """
    return [
        (model.experiment, model.stage, *(getattr(score, name) for name in CSV_COLUMNS[2:]))
        for model in models
        for score in sorted(model.scores, key=lambda score: (score.task, score.variant, split_order(score.split)))
    ]


def results_csv(models: Iterable[EvaluatedModel]) -> str:
    """`score_rows` as CSV; accuracies in percent, two decimals."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    writer.writerows([*row[:6], *(f"{value:.2f}" for value in row[6:])] for row in score_rows(models))
    return text.getvalue()


def split_order(split: str) -> tuple[int, str]:
    """Sort key: overall, then the hops, then whatever else a task has."""
    return (SPLITS.index(split) if split in SPLITS else len(SPLITS), split)


def result_tables(run: Run) -> list[ResultTable]:
    """One table for each task and variant, the headline variant first."""
    headline = run.config.report.headline
    scores = [score for model in run.models for score in model.scores]
    plain = {score.variant for score in scores if not score.variant.endswith((*CONTROL_NAMES, "legacy"))}
    variants = sorted(plain, key=lambda variant: (variant != headline, variant))
    tasks = sorted({score.task for score in scores})
    tables = [_result_table(run.models, task, variant) for variant in variants for task in tasks]
    return [table for table in tables if table.rows]


def control_rows(run: Run) -> list[ControlRow]:
    """Each model and variant beside its controls, the headline variant first; empty where no control was run."""
    rows = []
    for table in result_tables(run):
        for control in run.config.evaluate.controls:
            for model in run.models:
                ordered = find_score(model, table.task, table.variant, OVERALL)
                controlled = find_score(model, table.task, f"{table.variant}_{control}", OVERALL)
                if ordered and controlled:
                    finding = describe_control(ordered, controlled)
                    names = (model.experiment, model.stage, table.task, table.variant, control)
                    rows.append(ControlRow(*names, ordered, controlled, finding))
    return rows


def describe_control(ordered: Score, controlled: Score) -> str:
    """What a control says, from the two intervals alone."""
    if ordered.ci_low <= CHANCE:
        return "Not above chance to begin with: there is nothing to lose."
    if controlled.ci_high < CHANCE:
        return "Falls below chance: the changed frames mislead the model."
    if controlled.ci_low <= CHANCE:
        return "Falls to chance: the answer is in the video, not in the text."
    if controlled.ci_high < ordered.ci_low:
        return "Falls, but stays above chance: part of the answer can be had without what the control destroys."
    return "No clear fall: these answers do not depend on what the control destroys."


def parsing_rows(run: Run) -> list[ParsingRow]:
    """Unreadable answers and the legacy parser's figures, for every model and variant without control."""
    rows = []
    for table in result_tables(run):
        for model in run.models:
            anchored = find_score(model, table.task, table.variant, OVERALL)
            if anchored is None:
                continue
            samples = [row for row in model.samples if row["variant"] == table.variant and row["control"] is None]
            rows.append(
                ParsingRow(
                    experiment=model.experiment,
                    stage=model.stage,
                    task=table.task,
                    variant=table.variant,
                    anchored=anchored,
                    legacy=find_score(model, table.task, f"{table.variant}_legacy", OVERALL),
                    unreadable=sum(row["parsed"] is None for row in samples),
                    answers=len(samples),
                )
            )
    return rows


def quarantine_counts(quarantined: list[Quarantined]) -> list[tuple[str, str, int]]:
    """(stage, reason, number of records), the most frequent first."""
    counts = Counter((row.stage, row.reason) for row in quarantined)
    return [(*key, count) for key, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]


def find_score(model: EvaluatedModel, task: str, variant: str, split: str) -> Score | None:
    """The model's score under that task, variant and split."""
    wanted = (task, variant, split)
    return next((score for score in model.scores if (score.task, score.variant, score.split) == wanted), None)


def _result_table(models: list[EvaluatedModel], task: str, variant: str) -> ResultTable:
    scores = [score for model in models for score in model.scores if (score.task, score.variant) == (task, variant)]
    splits = sorted({score.split for score in scores}, key=split_order)
    best = {split: max(round(score.accuracy, 1) for score in scores if score.split == split) for split in splits}
    rows = []
    for model in models:
        found = [find_score(model, task, variant, split) for split in splits]
        cells = [score and Cell(score, round(score.accuracy, 1) == best[score.split]) for score in found]
        if any(cells):
            rows.append(TableRow(model.experiment, model.stage, cells, _gain(models, model, task, variant)))
    counts = [max(score.n for score in scores if score.split == split) for split in splits]
    return ResultTable(task, variant, splits, counts, rows)


def _gain(models: list[EvaluatedModel], model: EvaluatedModel, task: str, variant: str) -> float | None:
    """Points over the stage that this model was trained from: GRPO over SFT, otherwise over the base model."""
    if model.stage == BASE:
        return None
    same = [other for other in models if other.experiment == model.experiment and other.stage == "sft"]
    base = [other for other in models if other.stage == BASE]
    start = (same if model.stage == "grpo" and same else base)[0]
    before, after = (find_score(item, task, variant, OVERALL) for item in (start, model))
    return after.accuracy - before.accuracy if before and after else None
