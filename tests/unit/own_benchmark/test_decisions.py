"""Decisions: their file, the verdict of several reviewers, their agreement, decisions on texts that have changed."""

from pathlib import Path
from typing import Any

import pytest
from support.own_benchmark_run import own_question

from nep.errors import InputError
from nep.own_benchmark.decisions import (
    Agreement,
    Decision,
    Edit,
    agreements,
    counts_of,
    on_these_texts,
    read_decisions,
    verdict_on,
    write_decisions,
)
from nep.own_benchmark.rows import OwnQuestion

QUESTION = own_question(1)
EDIT = Edit(**{**QUESTION.text.model_dump(), "question": "What comes next?"})
OTHER = Edit(**{**QUESTION.text.model_dump(), "question": "What follows?"})


def decision(reviewer: str, verdict: str, question: OwnQuestion = QUESTION, **more: Any) -> Decision:
    return Decision(id=question.id, reviewer=reviewer, of=question.text.digest, verdict=verdict, **more)


def by_reviewer(*decisions: Decision) -> dict[str, dict[str, Decision]]:
    found: dict[str, dict[str, Decision]] = {}
    for one in decisions:
        found.setdefault(one.reviewer, {})[one.id] = one
    return found


@pytest.mark.parametrize(
    ("decisions", "outcome", "question"),
    [
        ([], "undecided", QUESTION.text.question),
        ([decision("anna", "accept")], "accepted", QUESTION.text.question),
        ([decision("anna", "reject")], "rejected", QUESTION.text.question),
        ([decision("anna", "accept"), decision("ben", "accept")], "accepted", QUESTION.text.question),
        ([decision("anna", "reject"), decision("ben", "reject")], "rejected", QUESTION.text.question),
        ([decision("anna", "accept"), decision("ben", "reject")], "disagreed", QUESTION.text.question),
        ([decision("anna", "accept", edited=EDIT)], "accepted", "What comes next?"),
        ([decision("anna", "accept", edited=EDIT), decision("ben", "accept")], "accepted", "What comes next?"),
        (
            [decision("anna", "accept", edited=EDIT), decision("ben", "accept", edited=EDIT)],
            "accepted",
            "What comes next?",
        ),
        (
            [decision("anna", "accept", edited=EDIT), decision("ben", "accept", edited=OTHER)],
            "disagreed",
            QUESTION.text.question,
        ),
        ([decision("anna", "accept", edited=EDIT), decision("ben", "reject")], "disagreed", QUESTION.text.question),
    ],
)
def test_the_verdict_of_all_reviewers(decisions: list[Decision], outcome: str, question: str) -> None:
    verdict = verdict_on(QUESTION, by_reviewer(*decisions))
    assert (verdict.outcome, verdict.text.question) == (outcome, question)


def test_a_question_is_undecided_while_one_reviewer_has_not_seen_it() -> None:
    decisions = by_reviewer(decision("anna", "accept"), decision("ben", "accept", own_question(2)))
    assert verdict_on(QUESTION, decisions).outcome == "undecided"


def test_a_decision_on_another_text_is_none() -> None:
    changed = own_question(1, question="What will she do?")
    decisions = by_reviewer(decision("anna", "accept"), decision("ben", "accept", changed))
    fresh = on_these_texts(decisions, [changed])
    assert {reviewer: list(own) for reviewer, own in fresh.items()} == {"anna": [], "ben": [changed.id]}
    assert verdict_on(changed, fresh).outcome == "undecided"
    assert counts_of(decisions, fresh)["anna"] == {"accepted": 0, "edited": 0, "rejected": 0, "outdated": 1}


def test_files_come_back_as_they_were_written(tmp_path: Path) -> None:
    questions = [own_question(number) for number in range(3)]
    decisions = [decision("anna", "accept", one, edited=EDIT if one is questions[2] else None) for one in questions]
    write_decisions(tmp_path / "anna.jsonl", reversed(decisions))
    text = (tmp_path / "anna.jsonl").read_text()
    assert [line.split('"id": "')[1].split('"')[0] for line in text.splitlines()] == [one.id for one in questions]
    assert read_decisions([tmp_path / "anna.jsonl"]) == by_reviewer(*decisions)
    assert [path.name for path in tmp_path.iterdir()] == ["anna.jsonl"]


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        (2 * [decision("anna", "accept").model_dump_json()], r"row 2: anna has decided on '.*' before"),
        (['{"id": "a", "reviewer": "anna", "of": "0", "verdict": "maybe"}'], "row 1: verdict"),
        (['{"id": "a", "reviewer": "anna", "of": "0", "verdict": "accept", "why": 1}'], "row 1: why"),
        ([decision("anna", "reject").model_dump_json().replace("null", EDIT.model_dump_json())], "has no 'edited'"),
        (["{"], "line 1: not JSON"),
    ],
)
def test_a_file_that_does_not_fit_is_named_with_its_row(tmp_path: Path, lines: list[str], fault: str) -> None:
    file = tmp_path / "anna.jsonl"
    file.write_text("\n".join(lines) + "\n")
    with pytest.raises(InputError, match=fault) as found:
        read_decisions([file])
    assert str(file) in str(found.value)


def test_agreement_counts_questions_that_both_decided_and_edits_as_accepted() -> None:
    questions = [own_question(number) for number in range(5)]
    anna = [
        decision("anna", verdict, one)
        for verdict, one in zip(["accept", "accept", "reject", "reject"], questions, strict=False)
    ]
    ben = [
        decision("ben", verdict, one)
        for verdict, one in zip(["accept", "reject", "reject", "reject"], questions, strict=False)
    ]
    ben[0] = decision("ben", "accept", questions[0], edited=EDIT)
    ben.append(decision("ben", "accept", questions[4]))
    assert agreements(by_reviewer(*anna, *ben)) == [Agreement("anna", "ben", 4, 3, pytest.approx(0.5))]
