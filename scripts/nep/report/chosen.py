"""What the configuration's `report.tables` and `report.curves` ask for: chosen models laid out as a paper has them."""

from dataclasses import dataclass, replace
from math import log

from nep.benchmarks.shown import shown
from nep.config.report import ChosenTable, SampleCurve
from nep.layout.models import experiment_and_seed, experiment_and_stage
from nep.report.benchmarks import OVERALL, split_name
from nep.report.collect import BASE, ModelName, Run
from nep.report.plots import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Tick, nice_ticks, scale
from nep.report.published import reference_figure, reference_table
from nep.report.tables import Cell, ResultTable, find_score, headline_variants, result_tables
from nep.rows.score import Score

# Ticks of the x axis are not closer than this, in SVG units.
TICK_DISTANCE = 34


@dataclass(frozen=True)
class ChosenColumn:
    """A column: a benchmark or a kind of question, and the number of questions."""

    title: str
    count: int


@dataclass(frozen=True)
class ChosenRow:
    """A model under the name that the table gives it: accuracies, each with the published one (None: absent)."""

    name: str
    model: ModelName
    cells: list[tuple[Cell | None, float | None]]


@dataclass(frozen=True)
class LaidOutTable:
    """One of `report.tables`; `sources` says where published figures in it come from."""

    title: str
    variant: str
    columns: list[ChosenColumn]
    rows: list[ChosenRow]
    sources: list[str]


@dataclass(frozen=True)
class SamplePoint:
    """A model on a curve: its place in SVG units, that of its interval's ends and of each seed's accuracy."""

    samples: int
    score: Score
    x: float
    y: float
    ends: tuple[float, float] | None
    seeds: list[float]


@dataclass(frozen=True)
class SamplePanel:
    """One of `report.curves` on one benchmark, over a logarithmic axis of samples; `base`: the untrained model."""

    title: str
    task: str
    variant: str
    line: str
    points: list[SamplePoint]
    base: tuple[float, Score] | None
    x_ticks: list[Tick]
    y_ticks: list[Tick]


def laid_out_tables(run: Run) -> list[LaidOutTable]:
    """The tables that the configuration asks for, in their order; of each benchmark the variant that leads."""
    leading = _leading(run)
    return [_table(run, table, leading) for table in run.config.report.tables.values()] if leading else []


def sample_panels(run: Run) -> list[SamplePanel]:
    """The curves that the configuration asks for, one for each benchmark that has an overall accuracy."""
    panels = [_panel(run, curve, table) for curve in run.config.report.curves.values() for table in _leading(run)]
    return [panel for panel in panels if panel]


def _leading(run: Run) -> list[ResultTable]:
    tables = result_tables(run)
    variants = headline_variants(tables)
    return [table for table in tables if variants[table.task] == table.variant]


def _named(model: str) -> ModelName:
    return ModelName(*experiment_and_stage(model))


def _table(run: Run, table: ChosenTable, leading: list[ResultTable]) -> LaidOutTable:
    shown_tables = leading if table.columns == "benchmarks" else leading[:1]
    places = [
        (one, split)
        for one in shown_tables
        for split in (one.splits if table.columns == "splits" else [OVERALL])
        if split in one.splits
    ]
    models = {name: _named(model) for name, model in table.models.items()}
    rows = [
        ChosenRow(
            name,
            model,
            [(_cell(one, model, split), reference_figure(run.config, one.task, model, split)) for one, split in places],
        )
        for name, model in models.items()
    ]
    columns = [
        ChosenColumn(
            shown(one.task).title if table.columns == "benchmarks" else split_name(split),
            one.counts[one.splits.index(split)],
        )
        for one, split in places
    ]
    published = (reference_table(run.config, one.task) for one in shown_tables)
    sources = [
        f"{shown(one.task).title}: {source.source}, {source.model}"
        for one, source in zip(shown_tables, published, strict=True)
        if source
    ]
    return LaidOutTable(table.title, shown_tables[0].variant, columns, _with_best(rows), sources)


def _cell(table: ResultTable, model: ModelName, split: str) -> Cell | None:
    place = table.splits.index(split)
    return next((row.cells[place] for row in table.rows if (row.experiment, row.stage) == model), None)


def _with_best(rows: list[ChosenRow]) -> list[ChosenRow]:
    """The rows with the best of each column marked, among these rows."""
    columns = zip(*([cell and round(cell.score.accuracy, 1) for cell, _ in row.cells] for row in rows), strict=True)
    best = [max((value for value in column if value is not None), default=None) for column in columns]
    return [
        replace(
            row,
            cells=[
                (cell and replace(cell, best=round(cell.score.accuracy, 1) == highest), figure)
                for (cell, figure), highest in zip(row.cells, best, strict=True)
            ],
        )
        for row in rows
    ]


def _panel(run: Run, curve: SampleCurve, table: ResultTable) -> SamplePanel | None:
    names = [_named(model) for model in curve.models]
    found = [
        (samples, cell.score, model)
        for model in run.models
        if model.name in names
        if (samples := _samples(run, model.name)) and (cell := table.overall.get(model.name))
    ]
    if not found:
        return None
    found.sort(key=lambda item: item[0])
    base = table.overall.get(ModelName(BASE, BASE))
    each = [
        [find_score(one, table.task, table.variant, OVERALL).accuracy for one in model.members] for *_, model in found
    ]
    values = [value for _, score, _ in found for value in (score.accuracy, score.ci_low, score.ci_high)]
    values += [value for seeds in each for value in seeds] + ([base.score.accuracy] if base else [])
    known = [value for value in values if value is not None]
    ticks = nice_ticks(min(known), max(known))
    to_y = scale(ticks[0], ticks[-1], HEIGHT - BOTTOM, TOP)
    sizes = [samples for samples, *_ in found]
    to_x = scale(log(sizes[0]), log(sizes[-1]), LEFT + RIGHT, WIDTH - 2 * RIGHT)
    points = [
        SamplePoint(
            samples=samples,
            score=score,
            x=to_x(log(samples)),
            y=to_y(score.accuracy),
            ends=None if score.ci_low is None else (to_y(score.ci_low), to_y(score.ci_high)),
            seeds=[to_y(value) for value in seeds],
        )
        for (samples, score, _), seeds in zip(found, each, strict=True)
    ]
    return SamplePanel(
        title=curve.title,
        task=table.task,
        variant=table.variant,
        line="M" + "L".join(f"{point.x:.1f} {point.y:.1f}" for point in points),
        points=points,
        base=(to_y(base.score.accuracy), base.score) if base else None,
        x_ticks=_sample_ticks(points),
        y_ticks=[Tick(to_y(value), f"{value:g}") for value in ticks],
    )


def _samples(run: Run, model: ModelName) -> int | None:
    """Samples that a model was trained on; each seed takes as many."""
    logs = [log for log in run.training if log.stage == model.stage]
    return next((log.samples for log in logs if experiment_and_seed(log.experiment)[0] == model.experiment), None)


def _sample_ticks(points: list[SamplePoint]) -> list[Tick]:
    ticks: list[Tick] = []
    for point in points:
        if not ticks or point.x - ticks[-1].place >= TICK_DISTANCE:
            ticks.append(Tick(point.x, f"{point.samples:,}"))
    return ticks
