"""The result table as plain text, for the end of a run in a terminal."""

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

from nep.benchmarks.shown import shown
from nep.errors import InputError
from nep.layout.models import STAGE_NAMES
from nep.report.benchmarks import OVERALL, split_name, split_order
from nep.report.collect import REFERENCE
from nep.report.tables import CONTROL_NAMES, CSV_COLUMNS, MOST_COLUMNS
from nep.rows.score import LEGACY

Row = dict[str, str]
T = TypeVar("T")


def read_results(path: Path) -> list[Row]:
    """Rows of `results.csv`. Raises InputError when the file is missing or has other columns."""
    try:
        with path.open(encoding="utf-8", newline="") as lines:
            reader = csv.DictReader(lines)
            rows = list(reader)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; has the run reached its report?") from None
    if tuple(reader.fieldnames or ()) != CSV_COLUMNS:
        raise InputError(f"{path}: expected the columns {','.join(CSV_COLUMNS)}, found {reader.fieldnames}")
    return rows


def results_text(rows: list[Row]) -> str:
    """Of each benchmark a table for each answer form (models by splits, percent), then its controls side by side."""
    read = [row for row in rows if not row["variant"].endswith(LEGACY)]
    plain = [row for row in read if not _control_of(row)]
    parts = [
        _split_table([row for row in plain if (row["task"], row["variant"]) == key])
        for key in _in_order((row["task"], row["variant"]) for row in plain)
    ]
    for task in _in_order(row["task"] for row in read if _control_of(row)):
        parts.append(_control_table([row for row in read if row["task"] == task and row["split"] == OVERALL]))
    return "\n\n".join(parts)


def _split_table(rows: list[Row]) -> str:
    splits = sorted({row["split"] for row in rows}, key=split_order)
    # Of many splits the page has a table; a terminal is too narrow.
    splits = [OVERALL] if len(splits) > MOST_COLUMNS and OVERALL in splits else splits
    counts = {row["split"]: row["n"] for row in rows}
    lines = [["model", *(f"{split_name(split)} (n={counts[split]})" for split in splits), "95 % interval"]]
    for model in _in_order(_model_of(row) for row in rows):
        scores = {row["split"]: row for row in rows if _model_of(row) == model}
        overall = scores.get(OVERALL)
        known = overall and overall["ci_low"]
        interval = f"{float(overall['ci_low']):.1f}-{float(overall['ci_high']):.1f}" if known else ""
        cells = [f"{float(scores[split]['accuracy']):.1f}" if split in scores else "" for split in splits]
        lines.append([model, *cells, interval])
    name = shown(rows[0]["task"]).title
    return f"{name}, answers '{rows[0]['variant']}': accuracy in percent\n{_aligned(lines)}"


def _control_table(rows: list[Row]) -> str:
    controlled = {row["variant"]: _control_of(row) for row in rows if _control_of(row)}
    plain = {variant.removesuffix(f"_{control}") for variant, control in controlled.items()}
    variants = sorted(plain | controlled.keys())
    lines = [["model", *variants]]
    for model in _in_order(_model_of(row) for row in rows):
        scores = {row["variant"]: row["accuracy"] for row in rows if _model_of(row) == model}
        lines.append([model, *(f"{float(scores[item]):.1f}" if item in scores else "" for item in variants)])
    name = shown(rows[0]["task"]).title
    return f"{name}, controls, overall: frames in order beside changed frames\n{_aligned(lines)}"


def _control_of(row: Row) -> str | None:
    return next((control for control in CONTROL_NAMES if row["variant"].endswith(f"_{control}")), None)


def _model_of(row: Row) -> str:
    if row["stage"] == REFERENCE:
        return row["experiment"]
    stage = STAGE_NAMES.get(row["stage"], row["stage"])
    return stage if row["experiment"] == row["stage"] else f"{row['experiment']} {stage}"


def _in_order(values: Iterable[T]) -> list[T]:
    return list(dict.fromkeys(values))


def _aligned(lines: list[list[str]]) -> str:
    widths = [max(len(cell) for cell in column) for column in zip(*lines, strict=True)]
    texts = [
        "  ".join(
            [line[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True))]
        )
        for line in lines
    ]
    rule = "  ".join("-" * width for width in widths)
    return "\n".join(f"  {text.rstrip()}" for text in [texts[0], rule, *texts[1:]])
