"""Learning curves as geometry and interval plots as scores; the template draws them, so colours follow the theme."""

import itertools
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from nep.layout.models import experiment_and_seed
from nep.report.collect import BASE, REFERENCE, Run, Stage, TrainingLog
from nep.report.manifests import Row
from nep.report.plots import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Tick, nice_ticks, scale
from nep.report.tables import ResultTable
from nep.rows.score import Score

MOST_POINTS = 160
SMOOTHING_SHARE = 0.05
TABLE_ROWS = 20
COLOURS = 6

Point = tuple[float, float]


@dataclass(frozen=True)
class Curve:
    """One training's curve: `line` is smoothed, `raw` (None where nothing was smoothed) is every step; SVG paths."""

    experiment: str
    colour: str
    line: str
    raw: str | None
    dots: list[Point]
    first: str
    last: str


@dataclass(frozen=True)
class Panel:
    """One quantity over the steps of a stage, with a curve for each experiment.

    `table` has (step, value of each curve or None) at equally distant steps of each curve.
    """

    stage: Stage
    title: str
    note: str
    curves: list[Curve]
    table: list[tuple[str, list[str | None]]]
    x_ticks: list[Tick]
    y_ticks: list[Tick]


@dataclass(frozen=True)
class Quantity:
    """What a panel shows: the key of the metrics row, `percent` for shares in [0, 1]."""

    stage: Stage
    key: str
    title: str
    note: str
    percent: bool = False
    validation: bool = False


@dataclass(frozen=True)
class IntervalPlot:
    """The accuracies of one experiment, and of the base model, by split: (split, [(stage, score)])."""

    experiment: str
    groups: list[tuple[str, list[tuple[Stage, Score]]]]


QUANTITIES = (
    Quantity("sft", "loss", "SFT loss", "cross-entropy per answer token"),
    Quantity("sft", "loss", "SFT validation loss", "held-out samples", validation=True),
    Quantity("grpo", "reward", "Reward", "mean over sampled completions"),
    Quantity("grpo", "reward", "Validation reward", "held-out questions", validation=True),
    Quantity("grpo", "accuracy", "Validation accuracy", "held-out questions", percent=True, validation=True),
    Quantity("grpo", "text_only_accuracy", "Without the video", "the same questions", percent=True, validation=True),
    Quantity("grpo", "accuracy", "Accuracy in training", "right letters among completions", percent=True),
    Quantity("grpo", "kl", "KL", "to the model that GRPO starts from"),
    Quantity("grpo", "entropy", "Entropy", "per token"),
    Quantity("grpo", "completion_tokens", "Completion length", "tokens"),
    Quantity("grpo", "zero_variance_groups", "Groups without signal", "all rewards equal", percent=True),
    Quantity("grpo", "kept_questions", "Questions asked", "that the filters have left"),
    Quantity("grpo", "truncated", "Truncated completions", "stopped by the length limit", percent=True),
    Quantity("grpo", "repeated", "Repeated completions", "equal to another of their group", percent=True),
    Quantity("grpo", "engine_gap", "Engine and trainer apart", "log-probs of the same tokens, nats", validation=True),
    Quantity("grpo", "engine_kl", "KL of engine and trainer", "under the weights that sampled"),
    Quantity("grpo", "engine_ratio_max", "Largest ratio of trainer to engine", "of a step's tokens or completions"),
    Quantity("grpo", "engine_corrected", "Corrected tokens", "truncated or masked for the engine", percent=True),
)


def stage_panels(run: Run) -> list[Panel]:
    """A panel for each logged quantity. With one experiment the colour tells the stage, otherwise the experiment; its
    seeds share it."""
    experiments = list(run.config.experiments)

    def colour_of(log: TrainingLog) -> str:
        place = experiments.index(experiment_and_seed(log.experiment)[0])
        return log.stage if len(experiments) == 1 else series_colour(place)

    panels = (_panel(quantity, run.training, colour_of) for quantity in QUANTITIES)
    return [panel for panel in panels if panel is not None]


def series_colour(index: int) -> str:
    """CSS classes of the n-th experiment: one of six colours, and what makes its line another one after six."""
    return f"series{index % COLOURS} turn{min(index // COLOURS, 3)}"


def interval_plots(table: ResultTable) -> list[IntervalPlot]:
    """One plot for each experiment, the base model in all of them."""
    return [
        IntervalPlot(name, [(split, _lanes(table, place, name)) for place, split in enumerate(table.splits)])
        for name in dict.fromkeys(row.experiment for row in table.rows if row.stage not in (BASE, REFERENCE))
    ]


def training_text(training: str) -> str:
    """The name of a training in words."""
    experiment, seed = experiment_and_seed(training)
    return experiment if seed is None else f"{experiment}, seed {seed}"


def moving_mean(values: list[float], window: int) -> list[float]:
    """Mean over a centred window of odd length `window`, shorter at both ends."""
    half = window // 2
    return [_mean(values[max(0, place - half) : place + half + 1]) for place in range(len(values))]


def thin(points: list[Point], most: int) -> list[Point]:
    """At most `most` points: means of equal runs of neighbours; the ends keep their step."""
    if len(points) <= most:
        return points
    bounds = [round(len(points) * place / most) for place in range(most + 1)]
    runs = [points[start:end] for start, end in itertools.pairwise(bounds)]
    means = [(_mean(x for x, _ in run), _mean(y for _, y in run)) for run in runs]
    return [(points[0][0], means[0][1]), *means[1:-1], (points[-1][0], means[-1][1])]


def format_value(value: float, percent: bool = False) -> str:
    """Three significant digits; shares as percent."""
    if percent:
        return f"{100 * value:.3g} %"
    if value and abs(value) < 0.001:
        return f"{value:.1e}"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _panel(quantity: Quantity, logs: list[TrainingLog], colour_of: Callable[[TrainingLog], str]) -> Panel | None:
    series = [(log, _points(log, quantity)) for log in logs if log.stage == quantity.stage]
    series = [(log, points) for log, points in series if points]
    if not series:
        return None
    every = [point for _, points in series for point in points]
    x_low, x_high = min(x for x, _ in every), max(x for x, _ in every)
    y_ticks = _value_ticks([y for _, y in every], quantity.percent)
    to_x = scale(x_low, x_high, LEFT, WIDTH - RIGHT)
    to_y = scale(y_ticks[0], y_ticks[-1], HEIGHT - BOTTOM, TOP)
    curves = [_curve(log, points, quantity, colour_of(log), to_x, to_y) for log, points in series]
    return Panel(
        stage=quantity.stage,
        title=quantity.title,
        note=quantity.note,
        curves=curves,
        table=_table([_smoothed(points, quantity) for _, points in series], quantity.percent),
        x_ticks=[Tick(to_x(step), f"{step:,.0f}") for step in dict.fromkeys((x_low, x_high))],
        y_ticks=[Tick(to_y(value), format_value(value, quantity.percent)) for value in y_ticks],
    )


def _points(log: TrainingLog, quantity: Quantity) -> list[Point]:
    rows: list[Row] = log.validation if quantity.validation else log.metrics
    pairs = ((row["step"], row.get(quantity.key)) for row in rows)
    return [(step, float(value)) for step, value in pairs if value is not None and math.isfinite(value)]


def _value_ticks(values: list[float], percent: bool) -> list[float]:
    low, high = min(values), max(values)
    if percent:
        return nice_ticks(0.0, max(high, 0.1))
    # A curve that comes near zero is judged against zero.
    return nice_ticks(0.0 if 0 <= low < 0.5 * high else low, high)


def _curve(
    log: TrainingLog,
    points: list[Point],
    quantity: Quantity,
    colour: str,
    to_x: Callable[[float], float],
    to_y: Callable[[float], float],
) -> Curve:
    smooth = _smoothed(points, quantity)

    def place(run: list[Point]) -> list[Point]:
        return [(to_x(x), to_y(y)) for x, y in thin(run, MOST_POINTS)]

    return Curve(
        experiment=training_text(log.experiment),
        colour=colour,
        line=_path(place(smooth)),
        raw=_path(place(points)) if smooth != points else None,
        dots=place(points) if quantity.validation or len(points) == 1 else [],
        first=format_value(smooth[0][1], quantity.percent),
        last=format_value(smooth[-1][1], quantity.percent),
    )


def _smoothed(points: list[Point], quantity: Quantity) -> list[Point]:
    window = 1 if quantity.validation else 2 * round(SMOOTHING_SHARE * len(points) / 2) + 1
    means = moving_mean([y for _, y in points], window)
    return [(x, y) for (x, _), y in zip(points, means, strict=True)]


def _table(lines: list[list[Point]], percent: bool) -> list[tuple[str, list[str | None]]]:
    chosen = []
    for line in lines:
        rows = min(TABLE_ROWS, len(line))
        places = {round(row * (len(line) - 1) / max(1, rows - 1)) for row in range(rows)}
        chosen.append({line[place][0]: format_value(line[place][1], percent) for place in places})
    steps = sorted(set().union(*chosen))
    return [(f"{step:,.0f}", [values.get(step) for values in chosen]) for step in steps]


def _lanes(table: ResultTable, place: int, experiment: str) -> list[tuple[Stage, Score]]:
    cells = [(row.stage, row.cells[place]) for row in table.rows if row.experiment in (BASE, experiment)]
    return [(stage, cell.score) for stage, cell in cells if cell]


def _path(points: list[Point]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)


def _mean(values: Iterable[float]) -> float:
    listed = list(values)
    return sum(listed) / len(listed)
