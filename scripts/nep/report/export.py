"""The scores as files for other programs: parquet, and a LaTeX table (booktabs)."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from nep.benchmarks.shown import shown
from nep.files import atomic_path, write_text
from nep.layout.models import STAGE_NAMES
from nep.report.benchmarks import split_name
from nep.report.collect import REFERENCE, EvaluatedModel, ModelName
from nep.report.tables import CSV_COLUMNS, Cell, ResultTable, TableRow, score_table

SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in CSV_COLUMNS[:5]),
        ("n", pa.int64()),
        *((name, pa.float64()) for name in CSV_COLUMNS[6:9]),
        *((name, pa.int64()) for name in CSV_COLUMNS[9:]),
    ]
)
# What LaTeX reads as a command in running text.
SPECIAL = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        **{character: f"\\{character}" for character in "&%$#_{}"},
    }
)


def write_parquet(path: Path, models: list[EvaluatedModel]) -> None:
    """The rows of `results.csv`, with accuracies unrounded."""
    table = pa.Table.from_pandas(score_table(models), SCHEMA, preserve_index=False)
    with atomic_path(path) as out:
        # Without pandas's own metadata, which holds its version.
        pq.write_table(table.replace_schema_metadata(), out)


def write_latex(path: Path, tables: list[ResultTable]) -> None:
    """A table over all benchmarks, then one for each task and variant; it needs `\\usepackage{booktabs}`."""
    parts = [latex_summary(tables), *map(latex_table, tables)] if tables else []
    write_text(path, "% Needs \\usepackage{booktabs}.\n" + "\n".join(parts))


def latex_summary(tables: list[ResultTable]) -> str:
    """Models by benchmarks: overall accuracies, the columns of one benchmark under its name."""
    widths: dict[str, int] = {}
    for table in tables:
        widths[table.task] = widths.get(table.task, 0) + 1
    names = [rf"\multicolumn{{{width}}}{{c}}{{{_benchmark(task)}}}" for task, width in widths.items()]
    last = 1
    rules = []
    for width in widths.values():
        rules.append(rf"\cmidrule(lr){{{last + 1}-{last + width}}}")
        last += width
    found = [table.overall for table in tables]
    models = list(dict.fromkeys(name for column in found for name in column))
    return _environment(
        columns=len(tables),
        heads=[
            f"    & {' & '.join(names)} \\\\",
            f"    {' '.join(rules)}",
            f"    Model & {' & '.join(escape_latex(table.variant) for table in tables)} \\\\",
        ],
        body=[line for name in models for line in _cells(_model(name), [column.get(name) for column in found])],
        caption=r"Accuracy in percent by benchmark, its 95\,\% interval in brackets; the best of each column in bold.",
        label="results",
    )


def latex_table(table: ResultTable) -> str:
    """Models by splits, or splits by models where there are many: percent, the 95 % interval, the best in bold."""
    counts = [f"$n={count:,}$".replace(",", "{,}") for count in table.counts]
    splits = [escape_latex(split_name(split)) for split in table.splits]
    caption = (
        rf"{_benchmark(table.task)}, variant {escape_latex(table.variant)}: accuracy in percent, its 95\,\% interval in"
        r" brackets; the best of each "
    )
    if table.is_long:
        models = [_model(row) for row in table.rows]
        cells = zip(*(row.cells for row in table.rows), strict=True)
        rows = zip(splits, counts, cells, strict=True)
        return _environment(
            columns=len(models),
            heads=[f"    Split & {' & '.join(models)} \\\\"],
            body=[line for split, count, row in rows for line in _cells(f"{split} ({count})", row)],
            caption=f"{caption}row in bold.",
            label=f"{table.task}-{table.variant}",
        )
    return _environment(
        columns=len(splits),
        heads=[f"    Model & {' & '.join(splits)} \\\\", f"     & {' & '.join(counts)} \\\\"],
        body=[line for row in table.rows for line in _cells(_model(row), row.cells)],
        caption=f"{caption}column in bold.",
        label=f"{table.task}-{table.variant}",
    )


def escape_latex(text: str) -> str:
    """Text without characters that LaTeX would read as commands."""
    return text.translate(SPECIAL)


def _environment(columns: int, heads: list[str], body: list[str], caption: str, label: str) -> str:
    return "\n".join(
        [
            r"\begin{table}[t]",
            r"  \centering",
            rf"  \begin{{tabular}}{{l{'r' * columns}}}",
            r"    \toprule",
            *heads,
            r"    \midrule",
            *body,
            r"    \bottomrule",
            r"  \end{tabular}",
            rf"  \caption{{{caption}}}",
            rf"  \label{{tab:{label}}}",
            r"\end{table}",
            "",
        ]
    )


def _benchmark(task: str) -> str:
    return escape_latex(shown(task).title)


def _model(model: TableRow | ModelName) -> str:
    if model.stage == REFERENCE:
        return escape_latex(model.experiment)
    stage = STAGE_NAMES[model.stage]
    return stage if model.experiment == model.stage else f"{escape_latex(model.experiment)} {stage}"


def _cells(name: str, cells: Sequence[Cell | None]) -> list[str]:
    """Two lines: the figures, and their intervals."""
    figures, intervals = [], []
    for cell in cells:
        figure = f"{cell.score.accuracy:.1f}" if cell else "--"
        figure = rf"\textbf{{{figure}}}" if cell and cell.best else figure
        figures.append(figure if not cell or cell.spread is None else rf"{figure} $\pm$ {cell.spread:.1f}")
        has_interval = cell and cell.score.ci_low is not None
        intervals.append(
            rf"{{\scriptsize [{cell.score.ci_low:.1f}, {cell.score.ci_high:.1f}]}}" if has_interval else ""
        )
    return [f"    {name} & {' & '.join(figures)} \\\\", f"     & {' & '.join(intervals)} \\\\"]
