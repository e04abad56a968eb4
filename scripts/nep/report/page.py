"""The page: what `collect` read, put in order and words, and rendered by one template with autoescape on."""

from pathlib import Path

import yaml

from nep.config import Vision
from nep.files import write_text
from nep.report import comparison, cost, curves, overview, published, results_table
from nep.report.collect import BASE, Run
from nep.report.cost import RuleCost, rule_costs, total_cost
from nep.report.examples import Example, compared_models, select_examples
from nep.report.export import write_latex, write_parquet
from nep.report.model_card import model_cards
from nep.report.rendering import format_duration, format_memory, template
from nep.report.results_table import OVERALL, SPLIT_NAMES, STAGE_NAMES, ControlRow, ResultTable, TableRow
from nep.slurm import accounting

MOST_QUARANTINE_ROWS = 200
OUTCOMES = {
    "gained": "{after} right where {before} was wrong",
    "kept": "Both right",
    "lost": "{before} right, {after} wrong",
    "missed": "Both wrong",
}
VARIANT_NAMES = {"direct": "Direct answer", "reason": "With reasoning"}
VARIANT_NOTES = {
    "direct": "The model answers with the letter alone.",
    "reason": "The model thinks inside <think> and answers inside <answer>.",
}


def write_report(run: Run, folder: Path) -> None:
    """Write the tables, the model cards and `index.html` to `folder`."""
    write_text(folder / "results.csv", results_table.results_csv(run.models))
    write_parquet(folder / "results.parquet", run.models)
    write_latex(folder / "results.tex", results_table.result_tables(run))
    for name, text in model_cards(run).items():
        write_text(folder / "cards" / name / "README.md", text)
    write_text(folder / "index.html", render_page(run))


def render_page(run: Run) -> str:
    """The page as HTML text."""
    tables = results_table.result_tables(run)
    costs, stages = rule_costs(run.jobs), cost.stage_costs(run)
    compared = comparison.comparisons(run)
    return template("report.html").render(
        split_names=SPLIT_NAMES,
        stage_names=STAGE_NAMES,
        variant_names=VARIANT_NAMES,
        variant_notes=VARIANT_NOTES,
        series_colour=curves.series_colour,
        geometry=curves,
        title=run.config.report.title,
        run_name=run.config.run,
        lead=lead_sentence(run, tables),
        facts=run_facts(run, tables, costs),
        tables=[(table, row_groups(table), curves.interval_plots(table)) for table in tables],
        controls=control_groups(results_table.control_rows(run)),
        comparisons=compared,
        significant=significant_gains(compared),
        breakdowns=comparison.breakdowns(run),
        skipped=[log for log in run.training if log.skipped],
        parsing=results_table.parsing_rows(run),
        panels=curves.stage_panels(run),
        experiments=list(run.config.experiments),
        examples=[(example, outcome_title(run, example)) for example in select_examples(run)],
        cuts=len(run.cuts),
        quarantine_counts=results_table.quarantine_counts(run.quarantined),
        quarantined=run.quarantined[:MOST_QUARANTINE_ROWS],
        quarantined_left_out=max(0, len(run.quarantined) - MOST_QUARANTINE_ROWS),
        costs=costs,
        accounted=[*run.accounted, accounting.total(run.accounted)] if run.accounted else [],
        total=total_cost(costs),
        stages=stages,
        stage_of=cost.stage_of,
        graph=cost.stage_graph(stages),
        boxes=cost,
        longest=max((stage.cost.seconds for stage in stages if stage.cost), default=0.0),
        description=overview.run_description(run),
        changes=overview.config_changes(run.config),
        published=published,
        headline=run.config.report.headline,
        compared=compared_models(run.models),
        kinds=sorted({question["kind"] for question in run.questions.values()}, key=results_table.split_order),
        four_options=results_table.FOUR_OPTIONS,
        vision=describe_vision(run.config.vision),
        config=yaml.safe_dump(run.config.result_settings(), sort_keys=False, allow_unicode=True, width=100),
    )


def significant_gains(compared: list[comparison.Comparison]) -> set[tuple[str, str, str]]:
    """(experiment, stage, variant) of each model that differs from the one it was trained from, on FutureBench."""
    after_sft = {(row.experiment, row.variant) for row in compared if row.before == "sft"}
    return {
        (row.experiment, row.after, row.variant)
        for row in compared
        if row.significant
        and row.before == ("sft" if row.after == "grpo" and (row.experiment, row.variant) in after_sft else BASE)
    }


def row_groups(table: ResultTable) -> list[tuple[str | None, list[TableRow]]]:
    """The table's rows by experiment; a group has a title where there are several experiments to tell apart."""
    experiments = list(dict.fromkeys(row.experiment for row in table.rows))
    titled = len(experiments) > 2
    return [
        (name if titled and name != BASE else None, [row for row in table.rows if row.experiment == name])
        for name in experiments
    ]


def control_groups(rows: list[ControlRow]) -> list[tuple[str, list[ControlRow]]]:
    """Rows of one task, variant and control together, under a title that names them."""
    groups: dict[str, list[ControlRow]] = {}
    for row in rows:
        title = (
            f"{row.task} · {VARIANT_NAMES.get(row.variant, row.variant)} · {results_table.CONTROL_NAMES[row.control]}"
        )
        groups.setdefault(title, []).append(row)
    return list(groups.items())


def lead_sentence(run: Run, tables: list[ResultTable]) -> str:
    """One sentence: what the models are asked, and the overall accuracies of the headline table, best experiment."""
    task = "A model sees the first part of a video and says what happens next"
    if not tables:
        return f"{task}."
    table, place = tables[0], tables[0].splits.index(OVERALL)
    accuracies = {
        (row.experiment, row.stage): row.cells[place].score.accuracy for row in table.rows if row.cells[place]
    }
    trained = {key: value for key, value in accuracies.items() if key[0] != BASE}
    best = max(trained, key=lambda key: trained[key])[0] if trained else BASE
    steps = [
        f"{value:.1f}\u00a0% {'before training' if stage == BASE else 'after ' + STAGE_NAMES[stage]}"
        for (experiment, stage), value in accuracies.items()
        if experiment in (BASE, best)
    ]
    named = f" (experiment {best})" if len(run.config.experiments) > 1 and trained else ""
    return (
        f"{task}: right in {_enumerate(steps)}{named}, on {table.counts[place]:,} questions where chance is 25\u00a0%."
    )


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
        if total.peak_mb is not None:
            facts.append((format_memory(total.peak_mb), "peak memory of a job"))
    return facts


def outcome_title(run: Run, example: Example) -> str:
    """What the two compared models made of the example's question."""
    before, after = (example.answers[place] for place in compared_models(run.models))
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
