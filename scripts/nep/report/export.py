"""The scores as files for other programs: parquet, and a LaTeX table (booktabs)."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from nep.files import atomic_path, write_text
from nep.report.collect import EvaluatedModel
from nep.report.results_table import CSV_COLUMNS, SPLIT_NAMES, STAGE_NAMES, ResultTable, TableRow, score_rows

SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in CSV_COLUMNS[:5]),
        ("n", pa.int64()),
        *((name, pa.float64()) for name in CSV_COLUMNS[6:]),
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
    rows = score_rows(models)
    columns = {name: [row[place] for row in rows] for place, name in enumerate(CSV_COLUMNS)}
    with atomic_path(path) as out:
        pq.write_table(pa.table(columns, schema=SCHEMA), out)


def write_latex(path: Path, tables: list[ResultTable]) -> None:
    """One `table` environment for each task and variant; the document needs `\\usepackage{booktabs}`."""
    write_text(path, "% Needs \\usepackage{booktabs}.\n" + "\n".join(latex_table(table) for table in tables))


def latex_table(table: ResultTable) -> str:
    """Models by splits: percent, the half widths of the 95 % interval below, the best of a column in bold."""
    heads = [f"{escape_latex(SPLIT_NAMES.get(split, split))}" for split in table.splits]
    counts = [f"{count:,}".replace(",", "{,}") for count in table.counts]
    body = [line for row in table.rows for line in _lines(row)]
    return "\n".join(
        [
            r"\begin{table}[t]",
            r"  \centering",
            rf"  \begin{{tabular}}{{l{'r' * len(heads)}}}",
            r"    \toprule",
            f"    Model & {' & '.join(heads)} \\\\",
            f"     & {' & '.join(f'$n={count}$' for count in counts)} \\\\",
            r"    \midrule",
            *body,
            r"    \bottomrule",
            r"  \end{tabular}",
            rf"  \caption{{{escape_latex(table.task)}, variant {escape_latex(table.variant)}: accuracy in percent, its"
            r" 95\,\% interval in brackets; the best of each column in bold.}",
            rf"  \label{{tab:{table.task}-{table.variant}}}",
            r"\end{table}",
            "",
        ]
    )


def escape_latex(text: str) -> str:
    """Text without characters that LaTeX would read as commands."""
    return text.translate(SPECIAL)


def _lines(row: TableRow) -> list[str]:
    stage = STAGE_NAMES[row.stage]
    name = stage if row.experiment == row.stage else f"{escape_latex(row.experiment)} {stage}"
    figures, intervals = [], []
    for cell in row.cells:
        figure = f"{cell.score.accuracy:.1f}" if cell else "--"
        figures.append(rf"\textbf{{{figure}}}" if cell and cell.best else figure)
        intervals.append(rf"{{\scriptsize [{cell.score.ci_low:.1f}, {cell.score.ci_high:.1f}]}}" if cell else "")
    return [f"    {name} & {' & '.join(figures)} \\\\", f"     & {' & '.join(intervals)} \\\\"]
