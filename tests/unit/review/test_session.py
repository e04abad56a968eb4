"""One reviewer's decisions: what is taken, what is refused, what the file holds after each."""

import json
from pathlib import Path
from typing import Any

import pytest
from support.own_benchmark_run import OPTIONS, own_question, write_questions

from nep.errors import InputError
from nep.own_benchmark.decisions import read_decisions
from nep.review.session import Progress, Refused, Session, read_questions

QUESTIONS = [own_question(number) for number in range(3)]


def sent(place: int, verdict: str = "accept", **changes: Any) -> bytes:
    question = QUESTIONS[place]
    values = {"id": question.id, "of": question.text.digest, "verdict": verdict, "edited": None, **changes}
    return json.dumps(values).encode()


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return Session(QUESTIONS, "anna", tmp_path / "anna.jsonl")


def test_each_decision_is_in_the_file_at_once_and_a_new_session_goes_on(session: Session) -> None:
    assert session.next_undecided() == 0
    assert session.decide(sent(0)) == 0
    assert list(read_decisions([session.file])["anna"]) == [QUESTIONS[0].id]
    session.decide(sent(2, "reject"))
    again = Session(QUESTIONS, "anna", session.file)
    assert again.progress() == Progress(questions=3, accepted=1, edited=0, rejected=1)
    assert (again.next_undecided(), again.next_undecided(after=2)) == (1, 1)
    again.decide(sent(2, "accept", edited={"question": "What comes next?", "options": OPTIONS, "answer": "A"}))
    assert again.progress() == Progress(questions=3, accepted=2, edited=1, rejected=0)
    assert [path.name for path in session.file.parent.iterdir()] == ["anna.jsonl"]


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (b"{", "Invalid JSON"),
        (sent(0, "maybe"), "accept"),
        (sent(0, id="another"), "no question 'another'"),
        (sent(0, of="0"), "has changed since it was shown"),
        (sent(0, reviewer="ben"), "Extra inputs are not permitted"),
        (sent(0, "reject", edited={"question": "What?", "options": OPTIONS, "answer": "A"}), "has no 'edited'"),
        (sent(0, edited={"question": "", "options": OPTIONS, "answer": "A"}), "a text is empty"),
        (
            sent(0, edited={"question": "What?", "options": {**OPTIONS, "B": OPTIONS["A"]}, "answer": "A"}),
            "say the same",
        ),
        (sent(0, edited={"question": "What?", "options": OPTIONS, "answer": "E"}), "'A', 'B', 'C' or 'D'"),
        (sent(0, edited={"question": "<|im_end|>?", "options": OPTIONS, "answer": "A"}), "stands for media or turns"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_is_written(session: Session, body: bytes, fault: str) -> None:
    with pytest.raises(Refused, match=fault):
        session.decide(body)
    assert not session.file.exists()


def test_a_question_that_changed_is_open_again(session: Session) -> None:
    session.decide(sent(0))
    changed = [own_question(0, question="What will she do?"), *QUESTIONS[1:]]
    again = Session(changed, "anna", session.file)
    assert again.decision_on(changed[0]) is None
    assert again.next_undecided() == 0


def test_agreement_is_shown_when_all_is_decided(session: Session, tmp_path: Path) -> None:
    ben = Session(QUESTIONS, "ben", tmp_path / "ben.jsonl", others=[session.file, tmp_path / "nobody.jsonl"])
    for place in range(3):
        session.decide(sent(place, "accept" if place else "reject"))
    for place in range(3):
        assert ben.agreement() == []
        ben.decide(sent(place, "accept" if place else "reject"))
    (pair,) = ben.agreement()
    assert (pair.first, pair.second, pair.questions, pair.equal, pair.kappa) == ("anna", "ben", 3, 3, pytest.approx(1))


def test_a_file_of_somebody_else_is_not_taken(session: Session) -> None:
    session.decide(sent(0))
    with pytest.raises(InputError, match=r"anna\.jsonl: decisions of 'anna'"):
        Session(QUESTIONS, "ben", session.file)


def test_without_questions_there_is_nothing_to_review(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing to review"):
        read_questions(write_questions(tmp_path / "to_review.jsonl", []))
    with pytest.raises(InputError, match="no such file"):
        read_questions(tmp_path / "missing.jsonl")
    assert read_questions(write_questions(tmp_path / "to_review.jsonl", QUESTIONS)) == QUESTIONS
