"""From a folder of plain videos to data sets and a benchmark that two people reviewed, by models behind an HTTP API."""

from pathlib import Path
from typing import Any

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
CRITIQUE = "config/prompts/annotate/critique.md"
VIDEOS = 6
QUESTIONS: dict[str, Any] = {"benchmark_fraction": 0.4, "size": 84, "shards": 2, "processes": 1}


def test_plain_videos_become_data_sets_and_a_reviewed_benchmark(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.delenv("NEP_STORE", raising=False)
    with Annotator(answers={**ANNOTATE_ANSWERS, **QUESTION_ANSWERS}, key=KEY) as server:
        config = configured(workplace, server.url, **QUESTIONS)
        outcome = workplace.run(config, CARD)
        assert outcome.status == 0, outcome.text
        asked = server.requests
        data_sets_are_made(workplace.root)
        assert "Nothing to be done" in workplace.run(config, CARD).text

        # A changed prompt asks its step alone; the same answers make the same file, and nothing that reads it runs.
        prompt = workplace.root / CRITIQUE
        prompt.write_text(prompt.read_text(encoding="utf-8") + "Be brief.\n", encoding="utf-8")
        outcome = workplace.run(config, CARD)
        assert outcome.status == 0, outcome.text
        assert {"annotate_shard", "merge_annotations"} <= outcome.started()
        assert server.requests == asked + VIDEOS

        accepted = review(workplace.root)
        reviews = [f"reviews/small/{reviewer}.jsonl" for reviewer in ("anna", "ben")]
        outcome = workplace.run(
            configured(workplace, server.url, **QUESTIONS, reviews=reviews, only_accepted=True), CARD
        )
        assert outcome.status == 0, outcome.text
        assert server.requests == asked + VIDEOS, "a review asks no model anything"
        assert "write_questions_shard" not in outcome.started()
    the_benchmark_holds(workplace.root, accepted)


def configured(workplace: Workplace, url: str, **questions: Any) -> Path:
    return workplace.configure(
        "small",
        demo={"videos": {"train": VIDEOS - 1, "test": 1, "size": 84}},
        source={"kind": "videos", "path": "results/small/plain", "questions": None},
        shots={"shards": 2, "processes": 1, "near_duplicate_distance": None},
        annotate={
            "vision": {"url": url, "model": "scripted"},
            "recipe": "timed_events",
            "hindsight": True,
            "size": 84,
            "tolerance_s": 0,
            "shards": 2,
            "processes": 1,
        },
        questions=questions,
    )


def data_sets_are_made(root: Path) -> None:
    run = root / "results/small"
    files = read_json(run / "convert/manifest.json")["files"]
    for name in ("sft/next_event.json", "sft/hindsight.json", "grpo/next_event_mc.jsonl", "futurebench.jsonl"):
        assert files[name]["rows"] > 0, name
    assert len(read_jsonl(run / "split/manifest.jsonl")) == VIDEOS
    assert not read_jsonl(run / "annotate/rejected.jsonl")
    assert f"Models annotated {VIDEOS} of {VIDEOS} plain videos (100.0 %)." in (root / CARD).read_text()


def review(root: Path) -> list[str]:
    """Two people accept all questions but the first, on which they disagree. Returns the ids of the accepted ones."""
    questions = read_questions(root / "results/small/questions/to_review.jsonl")
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
    accepted = [question.id for question in questions[1:]]
    assert accepted
    return accepted


def the_benchmark_holds(root: Path, accepted: list[str]) -> None:
    run = root / "results/small"
    benchmark, training = (
        read_jsonl(run / "convert" / name) for name in ("futurebench.jsonl", "grpo/written_mc.jsonl")
    )
    assert [row["id"] for row in benchmark] == accepted
    assert {row["kind"] for row in training} == {"hop1", "hop2", "hop3", "interpolation"}
    assert not {row["video_id"] for row in benchmark} & {row["video_id"] for row in training}
    outcomes = read_json(run / "questions/manifest.json")["review"]["outcomes"]
    assert outcomes == {"accepted": len(accepted), "disagreed": 1}
    page = (root / CARD).read_text(encoding="utf-8")
    assert "Written questions" in page
    assert f"anna and ben: {len(accepted) + 1} questions decided by both, {len(accepted)} of them alike" in page
    assert KEY not in "".join(file.read_text() for file in (run / "logs").rglob("*.log"))
