"""Which recipes help: the results of `make study` as tables and a plot with intervals.

    PYTHONPATH=scripts .venv/bin/python benchmarks/study.py

reads the finished run of config/recipes/study.yaml, writes `benchmarks/results/study.json` and `study.svg`, and prints
the tables for docs/experiments.md; `--show` prints the recorded ones again. In each of the report's tables the first
row is what the others are compared with, by question and seed; Holm's correction is over the rows of a table. Rollouts
are the completions that GRPO sampled, those for replaced groups, for a choice of questions, and of shuffled frames
included. Readable are the answers in which a letter is found; the others count as wrong.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from statistics import mean
from typing import Any

import yaml
from matplotlib.axes import Axes
from snakemake.utils import update_config

from measure import RESULTS, ROOT, write_result
from nep.config.whole import Config, load_config
from nep.files import read_json
from nep.layout.models import experiment_and_stage, training_name
from nep.report.chosen import sample_panels
from nep.report.collect import EvaluatedModel, ModelName, Run, collect_run
from nep.report.comparison import LEVEL, holm
from nep.report.rendering import format_p_value
from nep.report.tables import ResultTable, compare_models, find_score, result_tables
from nep.stats.accuracy import OVERALL
from nep.stats.paired import Paired
from plots import MET, MISSED, TARGET, new_columns, save

FILES = ["config/config.yaml", "config/recipes/study.yaml"]
NAME = "study"
HEADS = (
    "recipe",
    "mean",
    "95 % interval",
    "seeds",
    "against the first",
    "p, Holm",
    "samples, rollouts",
    "readable",
    "",
)
# Trainings of this table are shown how questions about one event are answered, and no others: it comes once more, on
# those questions alone.
TABLE_OF_TASKS, SHOWN_KIND = "tasks", "hop1"
SAME = "no difference shown"
# What title and axis of a panel take, in the height of a row.
FRAME_ROWS = 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--configfile", nargs="+", default=FILES, help="the configuration of the run")
    parser.add_argument("--name", default=NAME, help="name of the files of results")
    parser.add_argument("--show", action="store_true", help="print the recorded tables, and read no run")
    arguments = parser.parse_args()
    if not arguments.show:
        config = read_config(arguments.configfile)
        result = study(collect_run(ROOT / "results" / config.run, config))
        write_result(arguments.name, result)
        draw(result, arguments.name)
    print(text(read_json(RESULTS / f"{arguments.name}.json")))


def read_config(files: Sequence[str]) -> Config:
    """The files laid over one another, as Snakemake does."""
    values: dict[str, Any] = {}
    for file in files:
        update_config(values, yaml.safe_load((ROOT / file).read_text(encoding="utf-8")))
    return load_config(values)


def study(run: Run) -> dict[str, Any]:
    """Tables and curves on the first benchmark's headline variant; accuracies in percent, differences in points."""
    leading = result_tables(run)[0]
    questions = leading.counts[leading.splits.index(OVERALL)]
    return {
        "task": leading.task,
        "variant": leading.variant,
        "questions": questions,
        "tables": [table for name in run.config.report.tables for table in _tables(run, name, leading)],
        "curves": [
            {
                "title": panel.title,
                "points": [
                    {
                        "samples": point.samples,
                        "accuracy": point.score.accuracy,
                        "low": point.score.ci_low,
                        "high": point.score.ci_high,
                    }
                    for point in panel.points
                ],
            }
            for panel in sample_panels(run)
            if panel.task == leading.task
        ],
    }


def _tables(run: Run, name: str, leading: ResultTable) -> list[dict[str, Any]]:
    table = run.config.report.tables[name]
    titles = {OVERALL: table.title}
    if name == TABLE_OF_TASKS:
        titles[SHOWN_KIND] = f"{table.title}: one event"
    return [
        {"title": title, "rows": _rows(run, table.models, leading.task, leading.variant, split)}
        for split, title in titles.items()
    ]


def _rows(run: Run, models: dict[str, str], task: str, variant: str, split: str) -> list[dict[str, Any]]:
    found = {model.name: _asked(model, split) for model in run.models}
    chosen = {name: found[ModelName(*experiment_and_stage(model))] for name, model in models.items()}
    first, *others = chosen.values()
    pairs = [compare_models(first, model, task, variant, run.questions) for model in others]
    adjusted = holm([pair.p_value for pair in pairs])
    rows = []
    for (name, model), pair, p_value in zip(chosen.items(), [None, *pairs], [None, *adjusted], strict=True):
        score = find_score(model, task, variant, split)
        each = [find_score(one, task, variant, split).accuracy for one in model.checkpoints]
        splits = {one.split: one.accuracy for one in model.scores if (one.task, one.variant) == (task, variant)}
        rows.append(
            {
                "recipe": name,
                "model": f"{model.experiment}-{model.stage}",
                "accuracy": score.accuracy,
                "low": score.ci_low,
                "high": score.ci_high,
                "seeds": each,
                "splits": splits,
                "sampled": _sampled(run, model.name),
                "readable": 100 * (1 - (score.unreadable + score.failed) / score.n),
                **(_compared(pair, p_value) if pair else {}),
            }
        )
    return rows


def _asked(model: EvaluatedModel, split: str) -> EvaluatedModel:
    """The model with its answers to the questions of a split."""
    samples = [row for row in model.samples if split in (OVERALL, row.kind)]
    members = tuple(_asked(member, split) for member in model.members)
    return replace(model, samples=samples, members=members)


def _compared(pair: Paired, adjusted: float) -> dict[str, Any]:
    return {"difference": [pair.difference, pair.low, pair.high], "p": pair.p_value, "p_holm": adjusted}


def _sampled(run: Run, model: ModelName) -> float:
    """Samples of SFT, or completions of GRPO: of the mean over seeds."""
    experiment = run.config.experiments[model.experiment]
    names = [training_name(model.experiment, seed) for seed in experiment.seeds or [None]]
    logs = [log for log in run.training if log.experiment in names and log.stage == model.stage]
    if model.stage == "sft":
        return mean(log.samples for log in logs)
    grpo = experiment.grpo
    each = grpo.completions + (grpo.completions // 2 if grpo.shuffled_bonus else 0)
    replaced = [sum(row.get("refilled_groups", 0) for row in log.metrics) for log in logs]
    manifests = [read_json(run.root / log.experiment / log.stage / "manifest.json") for log in logs]
    before = mean(manifest.get("samples_to_choose", 0) for manifest in manifests)
    return mean(grpo.steps * grpo.prompts_per_step + number for number in replaced) * each + before


def verdict(row: dict[str, Any]) -> str:
    """What the comparison says; nothing of the first row."""
    if "difference" not in row:
        return ""
    if row["p_holm"] >= LEVEL:
        return SAME
    return "better" if row["difference"][0] > 0 else "worse"


def text(result: dict[str, Any]) -> str:
    """The tables in Markdown."""
    parts = [f"Right answers in percent, {result['questions']} questions ({result['task']}, {result['variant']})."]
    for table in result["tables"]:
        lines = [f"| {' | '.join(HEADS)} |", f"|{'---|' * len(HEADS)}", *map(_line, table["rows"])]
        parts.append("\n".join([f"{table['title']}:", "", *lines]))
    for curve in result["curves"]:
        lines = ["| samples | accuracy | 95 % interval |", "|---|---|---|"]
        for point in curve["points"]:
            lines.append(
                f"| {point['samples']:,} | {point['accuracy']:.1f} | {_interval(point['low'], point['high'])} |"
            )
        parts.append("\n".join([f"{curve['title']}:", "", *lines]))
    return "\n\n".join(parts)


def _line(row: dict[str, Any]) -> str:
    against, p_value = "", ""
    if "difference" in row:
        difference, low, high = row["difference"]
        against, p_value = f"{difference:+.1f} ({low:+.1f} to {high:+.1f})", format_p_value(row["p_holm"])
    cells = [
        row["recipe"],
        f"{row['accuracy']:.1f}",
        _interval(row["low"], row["high"]),
        " / ".join(f"{value:.1f}" for value in row["seeds"]),
        against,
        p_value,
        f"{row['sampled']:,.0f}",
        f"{row['readable']:.0f}",
        verdict(row),
    ]
    return f"| {' | '.join(cells)} |"


def _interval(low: float | None, high: float | None) -> str:
    return "–" if low is None else f"{low:.1f}–{high:.1f}"


def draw(result: dict[str, Any], name: str) -> None:
    """A panel for each table, differences from its first row, and one for each curve: the longest table has a column of
    its own, the others share one."""
    *short, longest = sorted(result["tables"], key=lambda table: len(table["rows"]))
    heights = [[len(table["rows"]) + FRAME_ROWS for table in tables] for tables in (short, [longest]) if tables]
    figure, axes = new_columns([*heights, *[[1]] * len(result["curves"])])
    for panel, table in zip(axes, [*short, longest], strict=False):
        _draw_table(panel, table)
    for panel, curve in zip(axes[len(result["tables"]) :], result["curves"], strict=True):
        _draw_curve(panel, curve)
    save(figure, name)


def _draw_table(axes: Axes, table: dict[str, Any]) -> None:
    first, *rows = table["rows"]
    for place, row in enumerate(rows):
        difference, low, high = row["difference"]
        colour = {"better": MET, "worse": MISSED}.get(verdict(row), TARGET)
        axes.plot([low, high], [place, place], color=colour)
        axes.plot([difference], [place], marker="o", color=colour)
        each = [after - before for after, before in zip(row["seeds"], first["seeds"], strict=True)]
        axes.plot(each, [place] * len(each), linestyle="", marker="|", color=colour)
    axes.axvline(0, color=TARGET, linewidth=0.8)
    axes.set_yticks(range(len(rows)), [row["recipe"] for row in rows])
    axes.invert_yaxis()
    axes.set_title(table["title"])
    axes.set_xlabel(f"points against '{first['recipe']}' ({first['accuracy']:.1f} %)")


def _draw_curve(axes: Axes, curve: dict[str, Any]) -> None:
    points = curve["points"]
    accuracies = [point["accuracy"] for point in points]
    ends = [
        [point["accuracy"] - point["low"] for point in points],
        [point["high"] - point["accuracy"] for point in points],
    ]
    axes.errorbar([point["samples"] for point in points], accuracies, yerr=ends, marker="o", color=MET, capsize=2)
    axes.set_xscale("log")
    axes.set_xticks([point["samples"] for point in points], [f"{point['samples']:,}" for point in points])
    axes.minorticks_off()
    axes.set_title(curve["title"])
    axes.set_xlabel("samples")
    axes.set_ylabel("right answers, %")


if __name__ == "__main__":
    main()
