"""From plain videos to a benchmark that two people reviewed, and to training questions, by models behind an API."""

from pathlib import Path

import pytest
from support.annotating import ANNOTATE_ANSWERS
from support.annotator import Annotator
from support.question_answers import QUESTION_ANSWERS
from support.workflow import Workplace

from nep.files import read_json, read_jsonl
from nep.own_benchmark.decisions import Decision, write_decisions
from nep.review.session import read_questions

pytestmark = pytest.mark.e2e

KEY = "sk-of-this-test"
CARD = "results/small/report/data.html"
TO_REVIEW = "results/small/questions/to_review.jsonl"


def review(root: Path) -> list[str]:
    """Two people accept all questions but the first, on which they disagree. Returns the ids of the accepted ones."""
    questions = read_questions(root / TO_REVIEW)
    for reviewer in ("anna", "ben"):
        decisions = [
            Decision(
                id=question.id,
                reviewer=reviewer,
                of=question.text.digest,
                verdict="reject" if place == 0 and reviewer == "ben" else "accept",
            )
            for place, question in enumerate(questions)
        ]
        write_decisions(root / "reviews" / "small" / f"{reviewer}.jsonl", decisions)
    return [question.id for question in questions[1:]]


def test_a_reviewed_benchmark_and_training_questions_come_of_plain_videos(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.delenv("NEP_STORE", raising=False)
    run = workplace.root / "results/small"
    with Annotator(answers={**ANNOTATE_ANSWERS, **QUESTION_ANSWERS}, key=KEY) as server:
        endpoint = {"url": server.url, "model": "scripted"}
        questions = {"benchmark_fraction": 0.4, "size": 84, "shards": 2, "processes": 1}
        changes = {
            "demo": {"videos": {"train": 5, "test": 1, "size": 84}},
            "source": {"kind": "videos", "path": "results/small/plain", "questions": None},
            "shots": {"shards": 1, "processes": 1, "near_duplicate_distance": None},
            "annotate": {"vision": endpoint, "recipe": "timed_events", "critique": False, "size": 84, "shards": 1},
        }
        outcome = workplace.run(workplace.configure("small", **changes, questions=questions), TO_REVIEW)
        assert outcome.status == 0, outcome.text
        asked = server.requests
        accepted = review(workplace.root)
        assert accepted

        reviews = [f"reviews/small/{reviewer}.jsonl" for reviewer in ("anna", "ben")]
        config = workplace.configure(
            "small", **changes, questions={**questions, "reviews": reviews, "only_accepted": True}
        )
        outcome = workplace.run(config, CARD)
        assert outcome.status == 0, outcome.text
        assert server.requests == asked, "a review asks no model anything"
        assert "write_questions_shard" not in outcome.started()

    benchmark, training = (
        read_jsonl(run / "convert/futurebench.jsonl"),
        read_jsonl(run / "convert/grpo/written_mc.jsonl"),
    )
    assert [row["id"] for row in benchmark] == accepted
    assert {row["kind"] for row in training} == {"hop1", "hop2", "hop3", "interpolation"}
    assert not {row["video_id"] for row in benchmark} & {row["video_id"] for row in training}
    assert read_json(run / "questions/manifest.json")["review"]["outcomes"] == {
        "accepted": len(accepted),
        "disagreed": 1,
    }
    page = (workplace.root / CARD).read_text(encoding="utf-8")
    assert "Written questions" in page
    assert f"anna and ben: {len(accepted) + 1} questions decided by both, {len(accepted)} of them alike" in page
    assert KEY not in "".join(file.read_text() for file in (run / "logs").rglob("*.log"))
