"""Several benchmarks, models that were not trained here, failures and benchmarks that were left out."""

import csv
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from support.html_page import Page
from support.synthetic_run import OTHER_BENCHMARKS, SyntheticRun

from nep.config.whole import load_config
from nep.report.collect import REFERENCE, ModelName, Run, collect_run
from nep.report.comparison import breakdowns, comparisons, gain_marks
from nep.report.examples import select_examples
from nep.report.export import latex_summary, latex_table, write_latex, write_parquet
from nep.report.model_card import model_cards
from nep.report.page import render_page
from nep.report.published import reference_figure
from nep.report.tables import left_out_rows, parsing_rows, result_tables, results_csv
from nep.report.terminal import results_text
from nep.rows.score import LeftOut

MODELS = [("base", "base"), ("nep", "sft"), ("nep", "grpo"), ("cft", "sft"), ("large", REFERENCE)]
# FutureBench first, those that the report knows, then others.
TABLES = [
    *(("futurebench", variant) for variant in ("reason", "direct")),
    *(("seedbench_r1_l1", variant) for variant in ("reason", "direct")),
    *((task, "own") for task in ("mvbench", "temporalbench", "zz_new")),
]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    synthetic = SyntheticRun(
        videos=3, experiments={"nep": ("sft", "grpo"), "cft": ("sft",)}, others=True, references=("large",)
    )
    return collect_run(synthetic.write(tmp_path_factory.mktemp("run")), load_config(synthetic.config))


@pytest.fixture(scope="module")
def page(run: Run) -> Page:
    return Page(render_page(run))


def overall(run: Run, task: str, variant: str) -> list[float]:
    samples = [[row for row in model.samples if (row.task, row.variant) == (task, variant)] for model in run.models]
    plain = [[row.correct for row in rows if row.control is None] for rows in samples]
    return [100 * sum(right) / len(right) for right in plain]


def test_tables_are_in_the_order_of_the_benchmarks(run: Run) -> None:
    tables = result_tables(run)
    assert [(table.task, table.variant) for table in tables] == TABLES
    for table in tables:
        assert list(table.overall) == MODELS
        assert [cell.score.accuracy for cell in table.overall.values()] == pytest.approx(
            overall(run, table.task, table.variant)
        )


def test_many_splits_are_rows_and_few_are_columns(run: Run) -> None:
    kinds = {task: len(kinds) + 1 if len(kinds) > 1 else 1 for task, _, kinds, _ in OTHER_BENCHMARKS}
    found = {table.task: (len(table.splits), table.is_long) for table in result_tables(run)}
    assert found == {"futurebench": (5, False)} | {task: (count, count > 8) for task, count in kinds.items()}
    assert found["mvbench"] == (13, True)


def test_the_page_has_a_column_and_a_section_for_each_benchmark(page: Page) -> None:
    tasks = dict.fromkeys(task for task, _ in TABLES)
    assert {f"benchmark-{task}" for task in tasks} <= page.ids
    assert [reference for reference in page.references if reference.startswith("#benchmark-")] == [
        f"#benchmark-{task}" for task in tasks
    ]
    for text in ("SeedBench-R1, level 1", "MVBench", "TemporalBench", "zz_new", "action kind 11", "Not trained here"):
        assert text in page.text
    assert "TempCompass: needs a judge model" in page.text
    assert "Published 7B" in page.text
    assert "large: sampling uniform, frames 32, pixels decided by the endpoint." in page.text


def test_what_only_some_models_lack_is_said_of_these(run: Run) -> None:
    assert [(row.task, row.models) for row in left_out_rows(run)] == [("tempcompass", [])]
    first, *others = run.models
    partial = replace(run, models=[replace(first, left_out=(LeftOut(task="videomme", reason="no data"),)), *others])
    assert [(row.task, row.reason, row.models) for row in left_out_rows(partial)] == [
        ("videomme", "no data", [("base", "base")]),
        ("tempcompass", "needs a judge model", [model.name for model in others]),
    ]
    assert "Video-MME (Base): no data" in Page(render_page(partial)).text


def test_failures_are_counted_apart_from_unreadable_answers(run: Run, page: Page) -> None:
    rows = {(row.experiment, row.stage, row.task): row.anchored for row in parsing_rows(run)}
    assert (rows["nep", "grpo", "mvbench"].failed, rows["nep", "grpo", "mvbench"].unreadable) == (3, 0)
    assert rows["nep", "grpo", "futurebench"].failed == 0
    lines = list(csv.DictReader(results_csv(run.models).splitlines()))
    assert {
        (row["failed"], row["unreadable"]) for row in lines if (row["task"], row["split"]) == ("mvbench", "overall")
    } == {("3", "0")}
    assert "✗ failed OutOfMemoryError: CUDA out of memory" in page.text


def test_pairs_are_of_one_benchmark_and_references_are_compared_but_gain_nothing(run: Run) -> None:
    compared = comparisons(run)
    assert list(dict.fromkeys((row.task, row.variant) for row in compared)) == TABLES
    within = [(row.before, row.after) for row in compared if row.task == "mvbench"]
    base, sft, grpo, other, large = map(ModelName._make, MODELS)
    assert within == [
        *((base, sft), (base, grpo), (sft, grpo), (base, other), (sft, other)),
        *((model, large) for model in (base, sft, grpo, other)),
    ]
    assert {model for _, _, model in gain_marks(compared)} == {sft, grpo, other}
    for row in compared:
        if row.task != "futurebench":
            assert row.counts.both + row.counts.gained + row.counts.lost + row.counts.neither == 36
            assert row.adjusted >= row.counts.p_value


def test_breakdowns_use_what_a_benchmark_says_of_its_questions(run: Run) -> None:
    titles = {(breakdown.task, breakdown.title) for breakdown in breakdowns(run)}
    place = "Place of the true option"
    # TemporalBench's questions have no options here; nothing but FutureBench's videos was cut.
    assert titles == {(task, place) for task in ("futurebench", "seedbench_r1_l1", "mvbench", "zz_new")}


def test_samples_of_every_benchmark_are_shown(run: Run, page: Page) -> None:
    examples = select_examples(run)
    assert list(dict.fromkeys(example.task for example in examples)) == list(dict.fromkeys(task for task, _ in TABLES))
    in_words = next(example for example in examples if example.task == "temporalbench")
    assert (in_words.options, in_words.answer) == ({}, f"event {in_words.question_id.split('-')[1]}")
    assert in_words.first == []
    assert page.text.count("Benchmark") > 1


def test_a_model_that_was_not_asked_leaves_gaps(run: Run) -> None:
    *others, large = run.models
    only = [score for score in large.scores if score.task == "futurebench"]
    samples = [row for row in large.samples if row.task == "futurebench"]
    partial = replace(run, models=[*others, replace(large, scores=only, samples=samples)])
    examples = [example for example in select_examples(partial) if example.task == "mvbench"]
    assert examples
    assert all(example.answers[-1] is None for example in examples)
    (verdicts,) = {
        line.split('data-verdicts="')[1].split('"')[0].split()[-1]
        for line in render_page(partial).splitlines()
        if 'data-task="mvbench"' in line
    }
    assert verdicts == "absent"


def test_parts_of_a_point_and_too_few_answers_for_an_interval(run: Run, tmp_path: Path) -> None:
    models = []
    for model in run.models:
        scores = [
            score.model_copy(update={"ci_low": None, "ci_high": None}) if score.task == "temporalbench" else score
            for score in model.scores
        ]
        samples = [
            row.model_copy(update={"correct": None}) if row.question_id in ("temporalbench-0", "mvbench-1") else row
            for row in model.samples
        ]
        models.append(replace(model, scores=scores, samples=samples))
    changed = replace(run, models=models)
    text = Page(render_page(changed)).text
    table = text.partition("TemporalBench own")[2].partition("zz_new")[0]
    figure = next(s.accuracy for s in run.models[0].scores if (s.task, s.split) == ("temporalbench", "overall"))
    assert f"{figure:.1f}" in table
    counts = [(row.task, row.counts) for row in comparisons(changed)]
    sizes = {(task, pairs.both + pairs.gained + pairs.lost + pairs.neither) for task, pairs in counts}
    assert {("temporalbench", 35), ("mvbench", 35), ("zz_new", 36)} <= sizes
    rows = [row for row in csv.DictReader(results_csv(models).splitlines()) if row["task"] == "temporalbench"]
    assert {(row["ci_low"], row["ci_high"]) for row in rows} == {("", "")}
    assert results_text(list(csv.DictReader(results_csv(models).splitlines())))
    write_parquet(tmp_path / "results.parquet", models)
    write_latex(tmp_path / "results.tex", result_tables(changed))
    assert "| temporalbench | own | Overall | 36 |" in model_cards(changed)["nep-sft"]


@pytest.mark.parametrize("attack", ["<script>alert(1)</script>", '"><svg onload=alert(1)>', "{{ 7 * 7 }}"])
def test_reasons_errors_and_splits_inject_no_markup(run: Run, page: Page, attack: str) -> None:
    first, *others = run.models
    said = {"error": attack, "question": attack}
    samples = [row if row.error is None else row.model_copy(update=said) for row in first.samples]
    scores = [
        score.model_copy(update={"split": attack}) if score.split.startswith("action") else score
        for score in first.scores
    ]
    changed = replace(
        first, samples=samples, scores=scores, left_out=(LeftOut(task=attack, reason=attack),), seen={attack: attack}
    )
    attacked = Page(render_page(replace(run, models=[changed, *others])))
    assert attacked.handlers == []
    assert set(attacked.tags) <= set(page.tags)
    assert "".join(attacked.texts).count(attack) >= 3


def test_the_logits_of_the_cache_are_stated(run: Run) -> None:
    first, *others = run.models
    check = {"largest_difference": 0.000125, "largest_logit": 9.5, "same_tokens": True, "same_choice": False}
    text = Page(render_page(replace(run, models=[replace(first, cache_check=check), *others]))).text
    assert "differ by at most 0.000125; the largest logit is 9.5, the tokens are the same" in text
    assert "the likeliest next token is another one" in text
    assert text.count("differ by at most") == 1


def test_latex_has_a_table_over_all_benchmarks(run: Run, tmp_path: Path) -> None:
    tables = result_tables(run)
    text = latex_summary(tables)
    assert (
        r"\multicolumn{2}{c}{FutureBench} & \multicolumn{2}{c}{SeedBench-R1, level 1} & \multicolumn{1}{c}{MVBench}"
        in text
    )
    assert r"\cmidrule(lr){2-3} \cmidrule(lr){4-5} \cmidrule(lr){6-6}" in text
    assert {line.count(" & ") for line in text.splitlines() if line.endswith(r"\\")} - {5} == {len(TABLES)}
    assert "    large & " in text
    long = latex_table(next(table for table in tables if table.is_long))
    assert "Split & Base & nep SFT & nep GRPO & cft SFT & large" in long
    assert "action kind 11 ($n=3$) & " in long
    write_latex(tmp_path / "results.tex", tables)
    assert (tmp_path / "results.tex").read_text().count(r"\begin{table}") == 1 + len(TABLES)


def test_cards_name_benchmarks_and_what_was_left_out(run: Run) -> None:
    cards = model_cards(run)
    assert set(cards) == {"nep-sft", "nep-grpo", "cft-sft"}
    results = yaml.safe_load(cards["nep-grpo"].split("---\n")[1])["model-index"][0]["results"]
    assert [(result["dataset"]["type"], result["dataset"]["config"]) for result in results] == TABLES
    assert results[4]["dataset"]["name"] == "MVBench"
    assert "Not evaluated: TempCompass (needs a judge model)." in cards["nep-grpo"]
    assert "FutureBench 25 %, SeedBench-R1, level 1 25 %." in cards["nep-grpo"]


def test_the_terminal_shows_each_benchmark(run: Run) -> None:
    text = results_text(list(csv.DictReader(results_csv(run.models).splitlines())))
    heads = [line for line in text.splitlines() if "accuracy in percent" in line]
    assert sorted(heads) == sorted(
        f"{name}, answers '{variant}': accuracy in percent"
        for name, variant in (
            *(("FutureBench", variant) for variant in ("direct", "reason")),
            *(("SeedBench-R1, level 1", variant) for variant in ("direct", "reason")),
            *((name, "own") for name in ("MVBench", "TemporalBench", "zz_new")),
        )
    )
    assert "action kind" not in text
    assert max(map(len, text.splitlines())) < 120
    assert text.count("controls, overall") == 1


@pytest.mark.parametrize(
    ("datasets", "repo", "sft", "grpo"),
    [
        ({"next_event": 5000}, "Qwen/Qwen2.5-VL-7B-Instruct", 61.3, 70.7),
        ({"next_event": None, "mc_reason_hop1": None}, "some/other", 61.3, 70.7),
        ({"critique": None}, "Qwen/Qwen2.5-VL-7B-Instruct", 55.8, 70.7),
        ({"distill": None}, "Qwen/Qwen2.5-VL-3B-Instruct", 57.2, None),
        ({"mix": None}, "Qwen/Qwen2.5-VL-3B-Instruct", 56.9, None),
        ({"next_event": 1, "critique": 1, "distill": 1}, "Qwen/Qwen2.5-VL-7B-Instruct", 63.4, 70.7),
        ({"full_caption": None}, "Qwen/Qwen2.5-VL-7B-Instruct", None, 70.7),
    ],
)
def test_published_figures_stand_beside_the_same_kind_of_training(
    datasets: dict, repo: str, sft: float | None, grpo: float | None
) -> None:
    config = load_config(
        {
            **SyntheticRun().config,
            "model": {"kind": "hub", "repo": repo, "revision": "1"},
            "experiments": {"x": {"sft": {"datasets": datasets}, "grpo": {}}},
        }
    )
    found = [reference_figure(config, "futurebench", ModelName("x", stage)) for stage in ("sft", "grpo")]
    assert found == [sft, grpo]
    assert reference_figure(config, "futurebench", ModelName("base", "base")) == (49.9 if "3B" in repo else 52.6)
    assert reference_figure(config, "mvbench", ModelName("x", "sft")) is None
    assert reference_figure(config, "futurebench", ModelName("large", REFERENCE)) is None
