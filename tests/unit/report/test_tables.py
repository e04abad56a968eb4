"""results.csv and the tables of the page."""

from pathlib import Path

import pytest
from scipy.stats import binomtest
from support.synthetic_run import SyntheticRun

from nep.config.whole import load_config
from nep.report.collect import EvaluatedModel, Run, collect_run
from nep.report.tables import control_rows, describe_control, parsing_rows, result_tables, results_csv
from nep.rows.score import Score


def model(experiment: str, stage: str, *scores: Score) -> EvaluatedModel:
    return EvaluatedModel(experiment, stage, list(scores), [])


def score(variant: str, split: str, accuracy: float, low: float = 0.0, high: float = 100.0) -> Score:
    return Score(task="futurebench", variant=variant, split=split, n=40, accuracy=accuracy, ci_low=low, ci_high=high)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    synthetic = SyntheticRun(videos=5, experiments={"zeta": ("sft", "grpo"), "alpha": ("sft",)})
    return collect_run(synthetic.write(tmp_path_factory.mktemp("run")), load_config(synthetic.config))


def test_csv_holds_the_rows_in_order_with_two_decimals() -> None:
    scores = [
        score("reason", "interpolation", 50, 1, 2),
        score("reason", "hop1", 1 / 3),
        score("direct", "overall", 25),
    ]
    counts = {"unreadable": 3, "failed": 2}
    controlled = score("reason_shuffled_frames", "overall", 20).model_copy(update=counts)
    sft = model("nep", "sft", controlled, score("reason_legacy", "hop2", 30))
    assert results_csv([model("base", "base", *scores), sft]).splitlines() == [
        "experiment,stage,task,variant,split,n,accuracy,ci_low,ci_high,unreadable,failed",
        "base,base,futurebench,direct,overall,40,25.00,0.00,100.00,,0",
        "base,base,futurebench,reason,hop1,40,0.33,0.00,100.00,,0",
        "base,base,futurebench,reason,interpolation,40,50.00,1.00,2.00,,0",
        "nep,sft,futurebench,reason_legacy,hop2,40,30.00,0.00,100.00,,0",
        "nep,sft,futurebench,reason_shuffled_frames,overall,40,20.00,0.00,100.00,3,2",
    ]


def test_csv_does_not_depend_on_the_order_within_scores(run: Run) -> None:
    turned = [EvaluatedModel(m.experiment, m.stage, m.scores[::-1], m.samples) for m in run.models]
    assert results_csv(turned) == results_csv(run.models)


def test_csv_has_every_score_of_every_model_in_the_order_of_the_configuration(run: Run) -> None:
    rows = [line.split(",") for line in results_csv(run.models).splitlines()[1:]]
    assert len(rows) == sum(len(m.scores) for m in run.models)
    assert list(dict.fromkeys((row[0], row[1]) for row in rows)) == [
        ("base", "base"),
        ("zeta", "sft"),
        ("zeta", "grpo"),
        ("alpha", "sft"),
    ]
    assert {row[3] for row in rows} == {
        *("direct", "reason", "direct_legacy", "reason_legacy"),
        *("direct_shuffled_frames", "reason_shuffled_frames"),
    }


def test_headline_variant_leads_and_splits_are_in_order(run: Run) -> None:
    tables = result_tables(run)
    assert [table.variant for table in tables] == ["reason", "direct"]
    assert tables[0].splits == ["overall", "hop1", "hop2", "hop3", "interpolation"]
    assert tables[0].counts == [20, 5, 5, 5, 5]


def test_best_of_each_column_is_marked_and_gain_is_over_the_stage_before(run: Run) -> None:
    table = result_tables(run)[0]
    for column in range(len(table.splits)):
        cells = [row.cells[column] for row in table.rows]
        highest = max(cell.score.accuracy for cell in cells)
        assert [cell.best for cell in cells] == [cell.score.accuracy == highest for cell in cells]
    overall = [row.cells[0].score.accuracy for row in table.rows]
    gains = [row.gain for row in table.rows]
    assert gains == [None, overall[1] - overall[0], overall[2] - overall[1], overall[3] - overall[0]]


def test_controls_stand_beside_the_result_of_the_same_model(run: Run) -> None:
    rows = control_rows(run)
    assert [(row.variant, row.experiment, row.stage) for row in rows[:4]] == [
        ("reason", "base", "base"),
        ("reason", "zeta", "sft"),
        ("reason", "zeta", "grpo"),
        ("reason", "alpha", "sft"),
    ]
    assert {(row.ordered.variant, row.controlled.variant) for row in rows} == {
        ("reason", "reason_shuffled_frames"),
        ("direct", "direct_shuffled_frames"),
    }


def test_a_control_is_tested_on_the_same_questions(run: Run) -> None:
    for row in control_rows(run):
        (evaluated,) = (m for m in run.models if m.name == (row.experiment, row.stage))
        ordered, controlled = (
            {s.question_id: s.correct for s in evaluated.samples if (s.variant, s.control) == asked}
            for asked in ((row.variant, None), (row.variant, row.control))
        )
        changed = [(ordered[key], controlled[key]) for key in ordered]
        lost, gained = changed.count((True, False)), changed.count((False, True))
        assert row.p_value == pytest.approx(binomtest(lost, lost + gained).pvalue)
    assert min(row.p_value for row in control_rows(run)) < 0.05


@pytest.mark.parametrize(
    ("ordered", "controlled", "start"),
    [
        ((20, 30), (20, 30), "Not above chance"),
        ((70, 80), (20, 30), "Falls to chance"),
        ((70, 80), (10, 20), "Falls below chance"),
        ((70, 80), (40, 50), "Falls, but stays above chance"),
        ((70, 80), (65, 75), "No clear fall"),
    ],
)
def test_what_a_control_shows_follows_from_the_intervals(ordered: tuple, controlled: tuple, start: str) -> None:
    scores = (score("reason", "overall", sum(bounds) / 2, *bounds) for bounds in (ordered, controlled))
    assert describe_control(*scores).startswith(start)


def test_unreadable_answers_are_counted_per_model_and_variant(run: Run) -> None:
    rows = parsing_rows(run)
    for row in rows:
        evaluated = next(m for m in run.models if (m.experiment, m.stage) == (row.experiment, row.stage))
        samples = [s for s in evaluated.samples if s.variant == row.variant and s.control is None]
        assert row.anchored.unreadable == len([s for s in samples if s.parsed not in ("A", "B", "C", "D")])
        assert row.anchored.n == len(samples) == 20
        assert row.legacy.variant == f"{row.variant}_legacy"
    assert sum(row.anchored.unreadable for row in rows) > 0


def test_a_model_without_a_split_leaves_its_cell_empty(tmp_path: Path) -> None:
    synthetic = SyntheticRun(videos=2, experiments={"nep": ("sft",)})
    run = collect_run(synthetic.write(tmp_path), load_config(synthetic.config))
    run.models[0].scores[:] = [score("reason", "overall", 50)]
    row = result_tables(run)[0].rows[0]
    assert row.cells[0] is not None
    assert row.cells[1:] == [None] * 4
