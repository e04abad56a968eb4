"""The exports: parquet, LaTeX and the model cards."""

import csv
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from support.synthetic_run import SyntheticRun

from nep.config.whole import load_config
from nep.report.collect import Run, collect_run
from nep.report.export import escape_latex, latex_table, write_parquet
from nep.report.model_card import model_cards
from nep.report.tables import result_tables, results_csv

EXPERIMENTS = {"next_event": ("sft", "grpo"), "a_b": ("sft",)}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    synthetic = SyntheticRun(videos=2, experiments=EXPERIMENTS)
    return collect_run(synthetic.write(tmp_path / "run"), load_config(synthetic.config))


def test_parquet_holds_the_rows_of_the_csv_file(run: Run, tmp_path: Path) -> None:
    for name in ("a.parquet", "b.parquet"):
        write_parquet(tmp_path / name, run.models)
    rows = pq.read_table(tmp_path / "a.parquet").to_pylist()
    expected = list(csv.DictReader(results_csv(run.models).splitlines()))
    assert [{key: f"{row[key]:.2f}" for key in ("accuracy", "ci_low", "ci_high")} for row in rows] == [
        {key: row[key] for key in ("accuracy", "ci_low", "ci_high")} for row in expected
    ]
    assert [(row["experiment"], row["variant"], str(row["n"])) for row in rows] == [
        (row["experiment"], row["variant"], row["n"]) for row in expected
    ]
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_the_latex_table_has_every_model_and_split(run: Run) -> None:
    text = latex_table(result_tables(run)[0])
    assert r"\begin{tabular}{lrrrrr}" in text
    assert r"Model & Overall & 1 hop & 2 hops & 3 hops & Interpolation \\" in text
    assert r"a\_b SFT & " in text
    assert r"\textbf{" in text
    lines = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert {line.count(" & ") for line in lines} == {5}
    assert text.count(r"\begin") == text.count(r"\end") == 2


def test_latex_commands_in_names_are_escaped() -> None:
    assert escape_latex(r"a_b & 5% {x} \input~^") == (
        r"a\_b \& 5\% \{x\} \textbackslash{}input\textasciitilde{}\textasciicircum{}"
    )


def test_each_trained_model_has_a_card(run: Run) -> None:
    cards = model_cards(run)
    assert list(cards) == ["next_event-sft", "next_event-grpo", "a_b-sft"]
    _, header, body = cards["next_event-grpo"].split("---\n", 2)
    read = yaml.safe_load(header)
    assert read["pipeline_tag"] == "video-text-to-text"
    assert "base_model" not in read
    assert read["model-index"][0]["results"][0]["dataset"]["name"] == "FutureBench-like questions of a local data set"
    (entry,) = read["model-index"]
    scores = {score.variant: score for score in run.models[2].scores if score.split == "overall"}
    assert [result["metrics"][0]["value"] for result in entry["results"]] == [
        round(scores[variant].accuracy, 2) for variant in ("reason", "direct")
    ]
    assert "| SFT | `next_event` | 320 | 1e-05, cosine | language model |" in body
    assert "| GRPO | `next_event_mc` | 120 | 1e-06, constant | language model |" in body
    assert "frames shuffled" in body
    assert "| GRPO |" not in cards["next_event-sft"]


def test_a_card_names_hub_repositories(run: Run) -> None:
    config = load_config(
        {
            **SyntheticRun(experiments=EXPERIMENTS).config,
            "model": {"kind": "hub", "repo": "Qwen/Model", "revision": "1"},
            "source": {"kind": "hub", "repo": "who/data", "revision": "2"},
        }
    )
    text = model_cards(collect_run(run.root, config))["a_b-sft"]
    read = yaml.safe_load(text.split("---\n")[1])
    assert (read["base_model"], read["datasets"]) == ("Qwen/Model", ["who/data"])
    assert read["model-index"][0]["results"][0]["dataset"]["name"] == "FutureBench"
    assert "`Qwen/Model` at revision `1`" in text
