"""The data card on questions that were written here, against the file that it comes from."""

from pathlib import Path

import pytest
from support.card_run import record_row, write_run
from support.html_page import Page
from support.own_benchmark_run import questions_manifest
from support.synthetic_run import quarantine, write_lines, write_value

from nep.report.data_card import collect_card, render_card
from nep.report.written import Pair, Reviewer, read_written


@pytest.fixture
def run(tmp_path: Path) -> Path:
    root = write_run(tmp_path / "mine", [record_row(number) for number in range(3)])
    write_value(root / "questions" / "manifest.json", questions_manifest())
    return root


def test_shares_and_gain_are_in_percent_of_all_tries(run: Path) -> None:
    written = read_written(run)
    benchmark, training = written.rows
    assert (benchmark.measured, benchmark.chosen, benchmark.videos) == (14, 10, 5)
    assert benchmark.right == [25, 20, 55, 95]
    assert benchmark.gain == 75
    assert (training.right, training.gain) == ([None] * 4, None)
    assert written.reviewers[0] == Reviewer("anna", accepted=7, edited=1, rejected=2, outdated=0)
    assert written.pairs == [Pair("anna", "<b>ben</b>", 9, 8, 0.727)]
    assert written.outcomes == {"accepted": 6, "rejected": 2, "disagreed": 1, "undecided": 1}


def test_the_card_shows_them_with_their_gates(run: Path) -> None:
    write_lines(
        run / "questions" / "rejected.jsonl", [quarantine("a-hop1", "questions", "solved_without_video", "4 of 4")]
    )
    write_lines(run / "questions" / "left_out.jsonl", [quarantine("b-hop1", "questions", "review_rejected", "'What?'")])
    html = render_card(collect_card(run), "mine")
    text = Page(html).text
    assert "benchmark 14 10 5 25.0 20.0 55.0 95.0 +75.0 hop1 7, hop2 3 A 4, D 6" in text
    assert "training 3 0 0 – – – – – – –" in text
    assert "accepted 6, rejected 2, disagreed on 1, have not all decided on 1." in text
    assert "anna and <b>ben</b>: 9 questions decided by both, 8 of them alike; Cohen's kappa 0.73." in text
    assert "<b>ben" not in html
    assert "solved without video questions 1 a-hop1 4 of 4" in text
    assert "review rejected questions 1 b-hop1" in text
    assert "questions/left_out.jsonl" in text


def test_without_reviewers_or_questions_nothing_is_said_of_them(run: Path) -> None:
    write_value(run / "questions" / "manifest.json", questions_manifest(outcomes={}, reviewers={}, agreement=[]))
    assert "reviewers together" not in render_card(collect_card(run), "mine")
    (run / "questions" / "manifest.json").unlink()
    assert read_written(run) is None
    assert "Written questions" not in render_card(collect_card(run), "mine")
