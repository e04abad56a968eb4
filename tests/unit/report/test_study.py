"""The tables that `make study` ends with, from a run whose experiments have several seeds."""

from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import pytest
from support.synthetic_run import SyntheticRun

import study
from nep.config.whole import load_config
from nep.files import read_json, write_json
from nep.report.collect import Run, collect_run
from nep.report.comparison import holm
from nep.stats.seeds import paired_over_seeds

SEEDS = (0, 1, 2)
REPLACED = 3
FIRST_SAMPLED = 640
TABLES = {
    "tasks": {"title": "SFT", "models": {"the demo's": "nep-sft", "critiques": "critique-sft"}},
    "grpo": {"title": "GRPO, at equal rollouts", "models": {"the demo's": "nep-grpo", "SFT alone": "nep-sft"}},
}
CURVES = {"samples": {"title": "Samples", "models": ["nep-sft", "critique-sft"]}}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    synthetic = SyntheticRun(
        experiments={"nep": ("sft", "grpo"), "critique": ("sft",)},
        controls=(),
        seeds=SEEDS,
        report={"tables": TABLES, "curves": CURVES},
        samples={"nep": 5000, "critique": 1000},
        videos=20,
    )
    folder = synthetic.write(tmp_path_factory.mktemp("study"))
    # One of the seeds replaced groups, and chose its questions by samples of each.
    log, manifest = folder / "nep@1/grpo/metrics.jsonl", folder / "nep@1/grpo/manifest.json"
    lines = log.read_text().splitlines()
    log.write_text("\n".join([lines[0].replace("{", f'{{"refilled_groups": {REPLACED}, ', 1), *lines[1:]]) + "\n")
    write_json(manifest, {**read_json(manifest), "samples_to_choose": FIRST_SAMPLED})
    return collect_run(folder, load_config(synthetic.config))


@pytest.fixture(scope="module")
def result(run: Run) -> dict[str, Any]:
    return study.study(run)


@pytest.fixture(scope="module")
def tables(result: dict[str, Any]) -> dict[str, list[dict]]:
    return {table["title"]: table["rows"] for table in result["tables"]}


def right(run: Run, experiment: str, stage: str) -> np.ndarray:
    """Right answers (seeds, questions)."""
    model = next(one for one in run.models if one.name == (experiment, stage))
    samples = [sorted(one.samples, key=lambda row: row.question_id) for one in model.members]
    return np.array([[row.correct for row in rows if row.variant == "reason"] for rows in samples])


def test_a_row_has_the_mean_and_every_seed(run: Run, tables: dict[str, list[dict]]) -> None:
    row = tables["SFT"][1]
    answers = right(run, "critique", "sft")
    assert row["seeds"] == pytest.approx((100 * answers.mean(axis=1)).tolist(), abs=1e-3)
    assert row["accuracy"] == pytest.approx(100 * answers.mean(), abs=1e-3)
    assert row["low"] < row["accuracy"] < row["high"]
    model = next(one for one in run.models if one.name == ("critique", "sft"))
    said = [row.parsed for one in model.members for row in one.samples if row.variant == "reason"]
    assert row["readable"] == pytest.approx(100 * sum(letter is not None for letter in said) / len(said))
    assert row["accuracy"] < row["readable"] < 100


def test_the_tasks_come_once_more_on_questions_about_one_event(run: Run, tables: dict[str, list[dict]]) -> None:
    names = sorted(run.questions)
    single = [run.questions[name].kind == "hop1" for name in names]
    sides = [right(run, experiment, "sft")[:, single] for experiment in ("nep", "critique")]
    row = tables["SFT: one event"][1]
    assert row["accuracy"] == pytest.approx(100 * sides[1].mean(), abs=1e-3)
    videos = [run.questions[name].video_id for name, chosen in zip(names, single, strict=True) if chosen]
    assert row["p"] == paired_over_seeds(*sides, videos).p_value


def test_others_are_compared_with_the_first_by_question_and_seed(run: Run, tables: dict[str, list[dict]]) -> None:
    videos = [run.questions[name].video_id for name in sorted(run.questions)]
    for title, before, after in (
        ("SFT", ("nep", "sft"), ("critique", "sft")),
        ("GRPO, at equal rollouts", ("nep", "grpo"), ("nep", "sft")),
    ):
        first, row = tables[title]
        pair = paired_over_seeds(right(run, *before), right(run, *after), videos)
        assert (row["difference"], row["p"]) == ([pair.difference, pair.low, pair.high], pair.p_value)
        assert row["p_holm"] == holm([pair.p_value])[0]
        assert study.verdict(first) == "" and study.verdict(row) in {"better", "worse", study.SAME}


def test_everything_that_was_sampled_counts(run: Run, tables: dict[str, list[dict]]) -> None:
    grpo = run.config.experiments["nep"].grpo
    groups = grpo.steps * grpo.prompts_per_step
    each = [
        groups * grpo.completions,
        (groups + REPLACED) * grpo.completions + FIRST_SAMPLED,
        groups * grpo.completions,
    ]
    first, before = tables["GRPO, at equal rollouts"]
    assert first["sampled"] == pytest.approx(mean(each))
    assert (before["sampled"], tables["SFT"][1]["sampled"]) == (5000, 1000)


@pytest.mark.parametrize(
    ("difference", "p_holm", "said"), [(4.0, 0.01, "better"), (-4.0, 0.01, "worse"), (4.0, 0.05, study.SAME)]
)
def test_no_claim_without_a_small_p_value(difference: float, p_holm: float, said: str) -> None:
    assert study.verdict({"difference": [difference, 0.0, 9.0], "p_holm": p_holm}) == said


def test_every_recipe_has_a_line_and_a_place_in_the_plot(
    result: dict[str, Any], tables: dict[str, list[dict]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = study.text(result).splitlines()
    for row in (row for rows in tables.values() for row in rows):
        found = [line for line in lines if line.startswith(f"| {row['recipe']} | {row['accuracy']:.1f} |")]
        assert {line.count("|") for line in found} == {len(study.HEADS) + 1}
    assert [line for line in lines if line.startswith(("| 1,000 |", "| 5,000 |"))]
    monkeypatch.setattr("plots.RESULTS", tmp_path)
    study.draw(result, "plot")
    assert "svg" in (tmp_path / "plot.svg").read_text(encoding="utf-8")
