"""Which questions benchmark and training take: each bound, each outcome of a review, the published form."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from support.own_benchmark_run import OPTIONS, own_question, tries, write_questions

from nep.config.own_benchmark import GainBounds, OwnBenchmark
from nep.errors import InputError
from nep.files import read_json, read_jsonl
from nep.own_benchmark.choose import broken_bound, choose_questions
from nep.own_benchmark.decisions import Decision, Edit, write_decisions
from nep.own_benchmark.rows import OwnQuestion
from nep.records.parse import parse_files


@pytest.mark.parametrize(
    ("changes", "bounds", "reason"),
    [
        ({}, {}, None),
        ({"second_part": tries(2)}, {}, "not_seen_in_second_part"),
        ({"second_part": tries(2)}, {"least_with_second": 0.5}, None),
        ({"first_part": tries(0)}, {}, None),
        ({"first_part": tries(0)}, {"least_with_first": 0.25}, "not_foreseen"),
        ({"first_part": tries(4)}, {}, None),
        ({"first_part": tries(4)}, {"most_with_first": 0.75}, "always_foreseen"),
        ({"without_video": tries(3)}, {}, "guessed_without_video"),
        ({"visual_gain": 0.0}, {}, "no_visual_gain"),
        ({"visual_gain": 0.0}, {"least_gain": 0.0}, None),
    ],
)
def test_each_bound_has_a_reason(changes: dict[str, Any], bounds: dict[str, float], reason: str | None) -> None:
    assert broken_bound(own_question(1, **changes), GainBounds(**bounds)) == reason


def chosen(tmp_path: Path, questions: list[OwnQuestion], decisions: list[Decision], **how: Any) -> dict[str, Any]:
    files = []
    for reviewer in sorted({decision.reviewer for decision in decisions}):
        files.append(tmp_path / "reviews" / f"{reviewer}.jsonl")
        write_decisions(files[-1], [decision for decision in decisions if decision.reviewer == reviewer])
    rows = write_questions(tmp_path / "questions.jsonl", questions)
    config = OwnBenchmark(reviews=[str(file) for file in files], **{"benchmark_fraction": 1.0, **how})
    return choose_questions(rows, files, config, tmp_path / "out")


def decide(question: OwnQuestion, reviewer: str, verdict: str, edited: Edit | None = None) -> Decision:
    return Decision(id=question.id, reviewer=reviewer, of=question.text.digest, verdict=verdict, edited=edited)


def test_the_benchmark_holds_what_all_accepted_or_what_nobody_rejected(tmp_path: Path) -> None:
    questions = [own_question(number) for number in range(5)]
    edit = Edit(question="What comes next?", options=OPTIONS, answer="C")
    accepted, edited, rejected, disagreed, half = questions
    decisions = [
        *(decide(accepted, name, "accept") for name in ("anna", "ben")),
        *(decide(edited, name, "accept", edit) for name in ("anna", "ben")),
        *(decide(rejected, name, "reject") for name in ("anna", "ben")),
        decide(disagreed, "anna", "accept"),
        decide(disagreed, "ben", "reject"),
        decide(half, "anna", "accept"),
    ]
    manifest = chosen(tmp_path, questions, decisions, only_accepted=True)
    published = read_json(tmp_path / "out" / "futurebench.json")
    assert [row["id"] for row in published] == [accepted.id, edited.id]
    assert published[1]["qa"] == {"Question": "What comes next?", "Options": OPTIONS, "Answer": "C"}
    left_out = {row["id"]: row["reason"] for row in read_jsonl(tmp_path / "out" / "left_out.jsonl")}
    assert left_out == {rejected.id: "review_rejected", disagreed.id: "review_disagreed", half.id: "not_reviewed"}
    assert manifest["review"]["outcomes"] == {"accepted": 2, "disagreed": 1, "rejected": 1, "undecided": 1}
    (pair,) = manifest["review"]["agreement"]
    assert (pair["questions"], pair["equal"], pair["kappa"]) == (4, 3, pytest.approx(0.5))
    assert manifest["review"]["reviewers"]["anna"] == {"accepted": 4, "edited": 1, "rejected": 1, "outdated": 0}
    assert manifest["chosen"]["benchmark"]["letters"] == {"B": 1, "C": 1}

    chosen(tmp_path, questions, decisions)
    assert [row["id"] for row in read_json(tmp_path / "out" / "futurebench.json")] == [accepted.id, edited.id, half.id]


def test_reviewers_see_what_the_benchmark_could_hold_whatever_they_have_decided(tmp_path: Path) -> None:
    kept, dim = own_question(1), own_question(2, second_part=tries(1))
    chosen(tmp_path, [kept, dim], [decide(kept, "anna", "reject")])
    assert [row["id"] for row in read_jsonl(tmp_path / "out" / "to_review.jsonl")] == [kept.id]
    assert read_json(tmp_path / "out" / "futurebench.json") == []
    reasons = {row["id"]: row["reason"] for row in read_jsonl(tmp_path / "out" / "left_out.jsonl")}
    assert reasons == {kept.id: "review_rejected", dim.id: "not_seen_in_second_part"}


def test_videos_are_dealt_by_their_ids_and_each_role_has_its_bounds(tmp_path: Path) -> None:
    """A share of the videos is held out; all questions about a video go one way, however many others there are."""
    questions = [
        own_question(number, first_part=tries(4), id=f"{number}-{kind}") for number in range(200) for kind in "ab"
    ]
    how = {"benchmark_fraction": 0.25, "training": {"most_with_first": 0.5}}
    manifest = chosen(tmp_path, questions, [], **how)
    published = [row["video_path"] for row in read_json(tmp_path / "out" / "futurebench.json")]
    assert set(Counter(published).values()) == {2}
    assert 30 < len(set(published)) < 70
    assert manifest["measured"]["training"]["questions"] == 400 - len(published)
    assert read_json(tmp_path / "out" / "training.json") == []
    assert manifest["left_out_by_reason"] == {"always_foreseen": 400 - len(published)}
    chosen(tmp_path, questions[:100], [], **how)
    fewer = [row["video_path"] for row in read_json(tmp_path / "out" / "futurebench.json")]
    assert fewer == [path for path in published if path in {question.video_path for question in questions[:100]}]


def test_measures_are_sums_over_all_tries(tmp_path: Path) -> None:
    manifest = chosen(tmp_path, [own_question(1), own_question(2, second_part=tries(3), text_only=tries(2))], [])
    measured = manifest["measured"]["benchmark"]
    assert measured["questions"] == 2
    assert measured["second_part"] == {"right": 7, "asked": 8}
    assert measured["text_only"] == {"right": 3, "asked": 8}
    assert manifest["measured"]["training"] == {
        "questions": 0,
        **{name: {"right": 0, "asked": 0} for name in ("text_only", "without_video", "first_part", "second_part")},
    }


def test_the_stage_records_reads_what_is_published(tmp_path: Path) -> None:
    questions = [own_question(1), own_question(2, kind="interpolation", id="two")]
    chosen(tmp_path, questions, [])
    videos = tmp_path / "videos"
    videos.mkdir()
    rows = []
    for question in questions:
        (videos / question.video_path).write_bytes(b"film")
        split = {"scenes_timestep": [{"Scene 1": {"start": 0.0, "end": 1.0}}, {"Scene 2": {"start": 1.0, "end": 2.0}}]}
        rows.append({"video_path": question.video_path, "video_split": split})
    (tmp_path / "annotations.json").write_text(json.dumps(rows))
    parsed = parse_files(tmp_path / "annotations.json", tmp_path / "out" / "futurebench.json", videos)
    assert parsed.rejected == []
    assert Counter(question.kind for question in parsed.questions) == {"hop1": 1, "interpolation": 1}
    assert all(not question.options_inline and question.answer == "B" for question in parsed.questions)


def test_only_accepted_needs_reviews() -> None:
    with pytest.raises(ValueError, match="name the files of decisions in 'reviews'"):
        OwnBenchmark(only_accepted=True)
    with pytest.raises(ValueError, match="must not exceed tries"):
        OwnBenchmark(tries=4, solved_from=5)


def test_a_row_that_does_not_fit_is_named(tmp_path: Path) -> None:
    file = tmp_path / "questions.jsonl"
    file.write_text('{"id": "a"}\n')
    with pytest.raises(InputError, match=r"questions\.jsonl, row 1: no key 'video_id'"):
        choose_questions(file, [], OwnBenchmark(), tmp_path)
