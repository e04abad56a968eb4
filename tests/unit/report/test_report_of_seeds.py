"""The report of a run whose experiments have several seeds, and of chosen models."""

import csv
import re
from pathlib import Path
from statistics import mean, stdev

import numpy as np
import pytest
from support.html_page import Page
from support.synthetic_run import SyntheticRun

from nep.config.whole import load_config
from nep.files import read_json
from nep.report.chosen import laid_out_tables, sample_panels
from nep.report.collect import EvaluatedModel, ModelName, Run, collect_run
from nep.report.comparison import breakdowns, comparisons
from nep.report.page import write_report
from nep.report.tables import control_rows, find_score, result_tables, seed_rows
from nep.stats.paired import paired
from nep.stats.seeds import accuracy_interval, paired_over_seeds

SEEDS = (0, 4, 9)
EXPERIMENTS = {"nep": ("sft", "grpo"), "critique": ("sft",)}
REPORT = {
    "tables": {
        "by_model": {"title": "Table 2", "models": {"Instruct": "base", "SFT": "nep-sft", "CFT": "critique-sft"}},
        "by_split": {"title": "Table 4", "models": {"GRPO": "nep-grpo"}, "columns": "splits"},
    },
    "curves": {"scaling": {"title": "Scaling", "models": ["nep-sft", "critique-sft"]}},
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("seeds")


@pytest.fixture(scope="module")
def run(place: Path) -> Run:
    synthetic = SyntheticRun(
        experiments=EXPERIMENTS,
        seeds=SEEDS,
        report=REPORT,
        samples={"nep": 5000, "critique": 1000},
        videos=5,
        references=("large",),
    )
    return collect_run(synthetic.write(place / "run"), load_config(synthetic.config))


@pytest.fixture(scope="module")
def report(run: Run, place: Path) -> Path:
    write_report(run, place / "report")
    return place / "report"


def model(run: Run, experiment: str, stage: str) -> EvaluatedModel:
    return next(one for one in run.models if one.name == (experiment, stage))


def right(one: EvaluatedModel, variant: str = "reason", control: str | None = None) -> np.ndarray:
    """Right answers of one checkpoint, in the order of the questions."""
    rows = [row for row in one.samples if (row.variant, row.control) == (variant, control)]
    return np.array([row.correct for row in sorted(rows, key=lambda row: row.question_id)])


def videos(run: Run) -> list[str]:
    return [run.questions[name].video_id for name in sorted(run.questions)]


def test_an_experiment_with_seeds_is_one_model_with_their_mean(run: Run) -> None:
    names = [("base", "base"), ("nep", "sft"), ("nep", "grpo"), ("critique", "sft"), ("large", "reference")]
    assert [one.name for one in run.models] == names
    nep = model(run, "nep", "sft")
    assert [one.experiment for one in nep.members] == ["nep@0", "nep@4", "nep@9"]
    each = [find_score(one, "futurebench", "reason", "overall") for one in nep.members]
    found = find_score(nep, "futurebench", "reason", "overall")
    assert found.accuracy == pytest.approx(mean(score.accuracy for score in each))
    assert found.n == 3 * each[0].n
    answers = np.array([right(one) for one in nep.members])
    assert (found.ci_low, found.ci_high) == pytest.approx(
        tuple(100 * end for end in accuracy_interval(answers, videos(run)))
    )
    assert {score.variant for score in nep.scores} == {score.variant for score in nep.members[0].scores}


def test_tables_show_the_mean_and_the_spread_over_the_number_of_questions(run: Run) -> None:
    table = result_tables(run)[0]
    assert table.counts[0] == len(run.questions)
    cell = table.overall[ModelName("nep", "grpo")]
    each = [100 * right(one).mean() for one in model(run, "nep", "grpo").members]
    assert cell.spread == pytest.approx(stdev(each), abs=1e-3)
    assert table.overall[ModelName("base", "base")].spread is None
    (row,) = [row for row in seed_rows(run) if row.model == ("nep", "grpo") and row.variant == "reason"]
    assert [seed for seed, _ in row.seeds] == list(SEEDS)
    assert [score.accuracy for _, score in row.seeds] == pytest.approx(each, abs=1e-3)


def test_pairs_are_by_question_and_seed_and_a_model_without_seeds_beside_each(run: Run) -> None:
    found = {(row.before, row.after): row.counts for row in comparisons(run) if row.variant == "reason"}
    base, clusters = right(model(run, "base", "base")), videos(run)
    sft, grpo = (np.array([right(one) for one in model(run, "nep", stage).members]) for stage in ("sft", "grpo"))
    assert found[("nep", "sft"), ("nep", "grpo")] == paired_over_seeds(sft, grpo, clusters)
    assert found[("base", "base"), ("nep", "sft")] == paired_over_seeds(np.array([base] * 3), sft, clusters)
    assert found[("base", "base"), ("large", "reference")] == paired(base, right(model(run, "large", "reference")))


def test_a_control_is_compared_with_the_same_seed(run: Run) -> None:
    (row,) = [row for row in control_rows(run) if (row.experiment, row.stage, row.variant) == ("nep", "sft", "reason")]
    members = model(run, "nep", "sft").members
    sides = [np.array([right(one, control=control) for one in members]) for control in (None, "shuffled_frames")]
    assert row.p_value == paired_over_seeds(*sides, videos(run)).p_value


def test_groups_of_questions_have_the_mean_of_the_seeds(run: Run) -> None:
    found = next(one for one in breakdowns(run) if one.title == "Place of the true option")
    scores = dict(found.rows)[ModelName("nep", "sft")]
    names = sorted(run.questions)
    for group, score in zip(found.groups, scores, strict=True):
        chosen = [run.questions[name].answer == group for name in names]
        each = [100 * right(one)[chosen].mean() for one in model(run, "nep", "sft").members]
        assert score.accuracy == pytest.approx(mean(each))


def test_chosen_models_stand_under_their_names_beside_published_figures(run: Run) -> None:
    by_model, by_split = laid_out_tables(run)
    assert [(row.name, row.cells[0][1]) for row in by_model.rows] == [("Instruct", 52.6), ("SFT", 61.3), ("CFT", 61.3)]
    assert sum(row.cells[0][0].best for row in by_model.rows) >= 1
    assert [column.title for column in by_split.columns] == ["Overall", "1 hop", "2 hops", "3 hops", "Interpolation"]
    assert [figure for _, figure in by_split.rows[0].cells] == [70.7, 83.8, 81.3, 62.7, 65.2]
    assert by_model.sources == ["FutureBench: arXiv 2505.22457, Qwen2.5-VL-7B-Instruct on V1-33K"]


def test_a_curve_goes_from_few_samples_to_many_with_intervals_and_seeds(run: Run) -> None:
    (panel,) = sample_panels(run)
    assert [point.samples for point in panel.points] == [1000, 5000]
    assert panel.points[0].x < panel.points[1].x
    for point, name in zip(panel.points, ("critique", "nep"), strict=True):
        assert point.score == find_score(model(run, name, "sft"), "futurebench", "reason", "overall")
        low, high = point.ends
        assert low > point.y > high
        # Places grow downwards, accuracies upwards.
        each = [right(one).mean() for one in model(run, name, "sft").members]
        assert (
            np.argsort(point.seeds, kind="stable").tolist()
            == np.argsort([-one for one in each], kind="stable").tolist()
        )


def test_the_page_is_well_formed_and_shows_all_of_it(report: Path) -> None:
    page = (report / "index.html").read_text(encoding="utf-8")
    Page(page)
    for text in ("Table 2", "Table 4", "published 61.3", "1,000 samples:", "Seed 4", "nep, seed 9", "seeds 0, 4, 9"):
        assert text in page, text
    # Of several seeds the browser has the first one's answers.
    options = re.findall(r"<option value=\"\d\"[^>]*>([^<]*)</option>", page)
    assert [option.strip() for option in options[:4]] == [
        "Base",
        "nep, seed 0 · SFT",
        "nep, seed 0 · GRPO",
        "critique, seed 0 · SFT",
    ]


def test_the_tables_have_the_mean_before_its_seeds_and_every_model_a_card(report: Path) -> None:
    with (report / "results.csv").open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    names = list(dict.fromkeys((row["experiment"], row["stage"]) for row in rows))
    assert names[:5] == [("base", "base"), ("nep", "sft"), ("nep@0", "sft"), ("nep@4", "sft"), ("nep@9", "sft")]
    cards = {path.parent.name for path in report.glob("cards/*/README.md")}
    assert cards == {
        f"{name}@{seed}-{stage}" for name, stages in EXPERIMENTS.items() for seed in SEEDS for stage in stages
    }
    assert "Seed: 4." in (report / "cards/nep@4-sft/README.md").read_text(encoding="utf-8")
    assert "$\\pm$" in (report / "results.tex").read_text(encoding="utf-8")


def test_without_seeds_no_section_says_anything_of_them(tmp_path: Path) -> None:
    synthetic = SyntheticRun(videos=3)
    write_report(collect_run(synthetic.write(tmp_path), load_config(synthetic.config)), tmp_path / "report")
    page = (tmp_path / "report/index.html").read_text(encoding="utf-8")
    assert 'id="seeds"' not in page and "several seeds" not in page
    assert read_json(tmp_path / "next_event/sft/manifest.json")["samples"] == 1000
