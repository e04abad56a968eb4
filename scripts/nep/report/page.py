"""The page: what `collect` read, put in order and words, and rendered by one template with autoescape on."""

from dataclasses import dataclass
from pathlib import Path

import yaml

from nep.benchmarks.shown import PublishedTable, shown
from nep.config.report import Report
from nep.config.vision import Vision
from nep.files import write_text
from nep.layout.models import STAGE_NAMES
from nep.layout.stages import stage_of
from nep.report import chosen, comparison, cost, curves, overview, plots, published
from nep.report import tables as report_tables
from nep.report.benchmarks import OVERALL, split_name, split_order, task_order
from nep.report.collect import BASE, REFERENCE, ModelName, Run
from nep.report.cost import RuleCost, rule_costs, total_cost
from nep.report.examples import Example, compared_models, select_examples
from nep.report.export import write_latex, write_parquet
from nep.report.model_card import model_cards
from nep.report.quarantine import quarantine_counts
from nep.report.rendering import format_duration, format_memory, template
from nep.report.tables import ControlRow, ResultTable, SeedRow, TableRow
from nep.slurm.costs import total as total_accounted

MOST_QUARANTINE_ROWS = 200
OUTCOMES = {
    "gained": "{after} right where {before} was wrong",
    "kept": "Both right",
    "lost": "{before} right, {after} wrong",
    "missed": "Both wrong",
}
VARIANT_NAMES = {"direct": "Direct answer", "reason": "With reasoning", "lmms_eval": "As lmms-eval asks"}
VARIANT_NOTES = {
    "direct": "The model answers with the letter alone.",
    "reason": "The model thinks inside <think> and answers inside <answer>.",
}


@dataclass(frozen=True)
class BenchmarkPart:
    """The section of one benchmark: its tables, the headline variant first, with their rows in groups."""

    task: str
    tables: list[tuple[ResultTable, list[tuple[str | None, list[TableRow]]]]]
    plots: list[curves.IntervalPlot]
    breakdowns: list[comparison.Breakdown]
    published: list[PublishedTable]


def write_report(run: Run, folder: Path) -> None:
    """Write the tables, the model cards and `index.html` to `folder`."""
    write_text(folder / "results.csv", report_tables.results_csv(run.models))
    write_parquet(folder / "results.parquet", run.models)
    write_latex(folder / "results.tex", report_tables.result_tables(run))
    for name, text in model_cards(run).items():
        write_text(folder / "cards" / name / "README.md", text)
    write_text(folder / "index.html", render_page(run))


def render_page(run: Run) -> str:
    """The page as HTML text."""
    tables = report_tables.result_tables(run)
    costs, stages = rule_costs(run.jobs), cost.stage_costs(run)
    compared, examples = comparison.comparisons(run), select_examples(run)
    models, browsed = ([model.name for model in found] for found in (run.models, run.first_checkpoints))
    return template("report.html").render(
        shown=shown,
        split_name=split_name,
        stage_names=STAGE_NAMES,
        variant_name=variant_name,
        variant_notes=variant_notes(run.config.report),
        series_colour=curves.series_colour,
        geometry=plots,
        title=run.config.report.title,
        run_name=run.config.run,
        lead=lead_sentence(run, tables),
        facts=run_facts(run, tables, costs),
        models=models,
        browsed=browsed,
        training_text=curves.training_text,
        several=len(run.config.trainings) > 1,
        laid_out=chosen.laid_out_tables(run),
        sample_panels=chosen.sample_panels(run),
        seeds=seed_groups(report_tables.seed_rows(run)),
        tables=tables,
        summary=summary_groups(models),
        benchmarks=benchmark_parts(run, tables),
        left_out=report_tables.left_out_rows(run),
        reference=lambda task: published.reference_table(run.config, task),
        reference_figure=lambda task, model: published.reference_figure(run.config, task, model),
        controls=control_groups(report_tables.control_rows(run)),
        comparisons=compared,
        marks=comparison.gain_marks(compared),
        skipped=[log for log in run.training if log.skipped],
        parsing=report_tables.parsing_rows(run),
        panels=curves.stage_panels(run),
        experiments=list(run.config.experiments),
        examples=[(example, outcome_title(run, example)) for example in examples],
        kinds=sorted({example.kind for example in examples if example.kind}, key=split_order),
        sampled=sorted({example.task for example in examples}, key=task_order),
        cuts=len(run.cuts),
        quarantine_counts=quarantine_counts(run.quarantined),
        quarantined=run.quarantined[:MOST_QUARANTINE_ROWS],
        quarantined_left_out=max(0, len(run.quarantined) - MOST_QUARANTINE_ROWS),
        costs=costs,
        accounted=[*run.accounted, total_accounted(run.accounted)] if run.accounted else [],
        total=total_cost(costs),
        stages=stages,
        stage_of=stage_of,
        graph=cost.stage_graph(stages),
        boxes=cost,
        has_gpus=not run.machines or any(machine.gpus for machine in run.machines),
        longest=max((stage.cost.seconds for stage in stages if stage.cost), default=0.0),
        description=overview.run_description(run),
        changes=overview.config_changes(run.config),
        others=[model for model in run.models if model.stage == REFERENCE and model.seen],
        cache_checks=[(model.name, model.cache_check) for model in run.checkpoints if model.cache_check],
        compared=compared_models(browsed),
        vision=describe_vision(run.config.vision),
        config=yaml.safe_dump(run.config.result_settings(), sort_keys=False, allow_unicode=True, width=100),
    )


def variant_notes(report: Report) -> dict[str, str]:
    """What each variant asks of a model, and what the configuration says of its figures."""
    return {variant: " ".join([note, report.notes.get(variant, "")]).strip() for variant, note in VARIANT_NOTES.items()}


def summary_groups(models: list[ModelName]) -> list[tuple[str | None, list[ModelName]]]:
    """All models by experiment, under its name where there are several to tell apart; models not trained here last."""
    trained: dict[str, list[ModelName]] = {}
    for model in models:
        if model.stage != REFERENCE:
            trained.setdefault(model.experiment, []).append(model)
    titled = len(trained) > 2
    groups = [(name if titled and name != BASE else None, members) for name, members in trained.items()]
    references = [model for model in models if model.stage == REFERENCE]
    return [*groups, *([("Not trained here", references)] if references else [])]


def benchmark_parts(run: Run, tables: list[ResultTable]) -> list[BenchmarkPart]:
    """What the page shows of each benchmark, in the order of the tables."""
    found = comparison.breakdowns(run)
    parts = []
    for task in dict.fromkeys(table.task for table in tables):
        own = [table for table in tables if table.task == task]
        parts.append(
            BenchmarkPart(
                task=task,
                tables=[(table, row_groups(table)) for table in own],
                plots=[] if own[0].is_long else curves.interval_plots(own[0]),
                breakdowns=[row for row in found if row.task == task],
                published=published.published_tables(run.config, task),
            )
        )
    return parts


def row_groups(table: ResultTable) -> list[tuple[str | None, list[TableRow]]]:
    """The table's rows in the groups of `summary_groups`."""
    rows = {ModelName(row.experiment, row.stage): row for row in table.rows}
    return [(title, [rows[name] for name in members]) for title, members in summary_groups(list(rows))]


def control_groups(rows: list[ControlRow]) -> list[tuple[str, list[ControlRow]]]:
    """Rows of one task, variant and control together, under a title that names them."""
    groups: dict[str, list[ControlRow]] = {}
    for row in rows:
        names = (variant_name(row.variant), report_tables.CONTROL_NAMES[row.control])
        groups.setdefault(" · ".join((shown(row.task).title, *names)), []).append(row)
    return list(groups.items())


def seed_groups(rows: list[SeedRow]) -> list[tuple[str, list[int], list[SeedRow]]]:
    """Rows of one task and variant together: a title that names them, the seeds that occur, and the rows."""
    groups: dict[str, list[SeedRow]] = {}
    for row in rows:
        groups.setdefault(" · ".join((shown(row.task).title, variant_name(row.variant))), []).append(row)
    return [
        (title, sorted({seed for row in members for seed, _ in row.seeds}), members)
        for title, members in groups.items()
    ]


def variant_name(variant: str) -> str:
    """A way of asking in words."""
    return VARIANT_NAMES.get(variant, variant.replace("_", " "))


def lead_sentence(run: Run, tables: list[ResultTable]) -> str:
    """One sentence: what the models are asked, and the overall accuracies of the headline table, best experiment."""
    task = "A model sees the first part of a video and says what happens next"
    if not tables or not tables[0].overall:
        return f"{task}."
    table, chance = tables[0], shown(tables[0].task).chance
    accuracies = {model: cell.score.accuracy for model, cell in table.overall.items() if model.stage != REFERENCE}
    trained = {model: value for model, value in accuracies.items() if model.stage != BASE}
    best = max(trained, key=lambda model: trained[model]).experiment if trained else BASE
    steps = [
        f"{value:.1f}\u00a0% {'before training' if stage == BASE else 'after ' + STAGE_NAMES[stage]}"
        for (experiment, stage), value in accuracies.items()
        if experiment in (BASE, best)
    ]
    named = f" (experiment {best})" if len(run.config.experiments) > 1 and trained else ""
    asked = f"{table.counts[table.splits.index(OVERALL)]:,} questions"
    guessed = "" if chance is None else f" where chance is {chance:g}\u00a0%"
    return f"{task}: right in {_enumerate(steps)}{named}, on {asked}{guessed}."


def run_facts(run: Run, tables: list[ResultTable], costs: list[RuleCost]) -> list[tuple[str, str]]:
    """(value, name) of the figures below the title."""
    facts = [(f"{len(run.cuts):,}", "videos cut")]
    if run.parameters:
        facts.append((format_count(run.parameters), "parameters"))
    if tables:
        facts.append((f"{max(tables[0].counts):,}", "test questions"))
    if costs:
        total = total_cost(costs)
        facts.append((format_duration(total.seconds), "of jobs"))
        if total.gpu_seconds:
            facts.append((format_duration(total.gpu_seconds), "of reserved GPUs"))
        if total.peak_mb is not None:
            facts.append((format_memory(total.peak_mb), "peak memory of a job"))
    return facts


def outcome_title(run: Run, example: Example) -> str:
    """What the two compared models made of the example's question."""
    models = run.first_checkpoints
    before, after = (models[place] for place in compared_models([model.name for model in models]))
    return OUTCOMES[example.outcome].format(before=STAGE_NAMES[before.stage], after=STAGE_NAMES[after.stage])


def describe_vision(vision: Vision) -> str:
    """The frame and pixel budget in words."""
    sampled = (
        f"{vision.frames} frames at equal distances"
        if vision.sampling == "uniform"
        else f"{vision.fps:g} frames a second, {vision.frames} at most"
    )
    return f"{sampled}, {vision.min_pixels:,} to {vision.max_pixels:,} pixels each"


def format_count(number: int) -> str:
    """Three significant digits with k, M or B."""
    for size, suffix in ((10**9, "B"), (10**6, "M"), (10**3, "k")):
        if number >= size:
            return f"{number / size:.3g} {suffix}"
    return str(number)


def _enumerate(items: list[str]) -> str:
    return " and ".join([", ".join(items[:-1]), items[-1]]) if len(items) > 1 else items[0]
