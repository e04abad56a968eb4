"""Which questions the benchmark and the training take: bounds on what was measured, and reviewers' decisions."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

from nep.config.own_benchmark import GainBounds, OwnBenchmark
from nep.files import read_jsonl, write_json, write_jsonl
from nep.own_benchmark.decisions import (
    Outcome,
    Verdict,
    agreements,
    counts_of,
    on_these_texts,
    read_decisions,
    verdict_on,
)
from nep.own_benchmark.rows import OwnQuestion, Role
from nep.records.schema import rows_as
from nep.rows.quarantine import Reason, Rejection, count_reasons, quarantine_row

STAGE = "questions"
MEASURES = ("text_only", "without_video", "first_part", "second_part")
_REVIEWED: dict[Outcome, Reason] = {
    "rejected": Reason.REVIEW_REJECTED,
    "disagreed": Reason.REVIEW_DISAGREED,
    "undecided": Reason.NOT_REVIEWED,
}


def check_bounds(question: OwnQuestion, bounds: GainBounds) -> None:
    """Raises Rejection with the first bound that the question does not keep, in the order of GainBounds' keys."""
    second, first, without = question.second_part.share, question.first_part.share, question.without_video.share
    with_second, with_first = f"right {second:.0%} with the second part", f"right {first:.0%} with the first part"
    checks = (
        (
            second >= bounds.least_with_second,
            Reason.NOT_SEEN_IN_SECOND_PART,
            f"right {second:.0%} with the second part",
        ),
        (first >= bounds.least_with_first, Reason.NOT_FORESEEN, with_first),
        (first <= bounds.most_with_first, Reason.ALWAYS_FORESEEN, with_first),
        (without <= bounds.most_without_video, Reason.GUESSED_WITHOUT_VIDEO, f"right {without:.0%} without the video"),
        (
            question.visual_gain >= bounds.least_gain,
            Reason.NO_VISUAL_GAIN,
            f"{with_second}, {without:.0%} without the video",
        ),
    )
    for kept, reason, found in checks:
        if not kept:
            raise Rejection(reason, found)


def broken_bound(question: OwnQuestion, how: OwnBenchmark) -> Reason | None:
    """The first bound of its role that the question does not keep."""
    try:
        check_bounds(question, getattr(how, question.role))
    except Rejection as rejection:
        return rejection.reason
    return None


def choose_questions(questions: Path, reviews: Sequence[Path], how: OwnBenchmark, out_dir: Path) -> dict[str, Any]:
    """Write what is chosen (`futurebench.json`, `training.json`), what is not (`left_out.jsonl`), what reviewers are
    shown (`to_review.jsonl`: the benchmark's questions within its bounds) and `manifest.json`, which it returns.

    Raises InputError that names a file of decisions and its row where one does not fit.
    """
    rows = rows_as(OwnQuestion, read_jsonl(questions), str(questions))
    outside = {row.id: reason for row in rows if (reason := broken_bound(row, how))}
    to_review = [row for row in rows if row.role == "benchmark" and row.id not in outside]
    decisions = read_decisions(reviews)
    fresh = on_these_texts(decisions, to_review)
    verdicts = {row.id: verdict_on(row, fresh) for row in to_review}
    reasons = outside | {
        identity: reason
        for identity, verdict in verdicts.items()
        if (reason := _left_out_by(verdict.outcome, how.only_accepted))
    }
    chosen: dict[Role, list[OwnQuestion]] = {
        role: [_as_reviewed(row, verdicts) for row in rows if row.role == role and row.id not in reasons]
        for role in get_args(Role)
    }
    left_out = [quarantine_row(row.id, STAGE, reasons[row.id], _described(row)) for row in rows if row.id in reasons]
    manifest = {
        "measured": {role: _measured([row for row in rows if row.role == role]) for role in chosen},
        "chosen": {role: {**_measured(kept), **_composition(kept)} for role, kept in chosen.items()},
        "left_out_by_reason": count_reasons(left_out),
        "review": {
            "outcomes": dict(sorted(Counter(verdict.outcome for verdict in verdicts.values()).items())),
            "reviewers": counts_of(decisions, fresh),
            "agreement": [asdict(pair) for pair in agreements(fresh)],
        },
    }
    write_json(out_dir / "futurebench.json", [row.published() for row in chosen["benchmark"]])
    write_json(out_dir / "training.json", [row.published() for row in chosen["training"]])
    write_jsonl(out_dir / "to_review.jsonl", (row.model_dump(mode="json") for row in to_review))
    write_jsonl(out_dir / "left_out.jsonl", left_out)
    write_json(out_dir / "manifest.json", manifest)
    return manifest


def _as_reviewed(row: OwnQuestion, verdicts: Mapping[str, Verdict]) -> OwnQuestion:
    verdict = verdicts.get(row.id)
    return row.model_copy(update={"text": verdict.text}) if verdict else row


def _left_out_by(outcome: Outcome, only_accepted: bool) -> Reason | None:
    if outcome == "undecided" and not only_accepted:
        return None
    return _REVIEWED.get(outcome)


def _described(row: OwnQuestion) -> str:
    shares = ", ".join(f"{name} {getattr(row, name).right} of {getattr(row, name).asked}" for name in MEASURES)
    return f"{row.text.question!r}; right: {shares}"


def _measured(rows: Sequence[OwnQuestion]) -> dict[str, Any]:
    """Number of questions, and right answers of all tries in each way."""
    sums = {
        name: {
            "right": sum(getattr(row, name).right for row in rows),
            "asked": sum(getattr(row, name).asked for row in rows),
        }
        for name in MEASURES
    }
    return {"questions": len(rows), **sums}


def _composition(rows: Sequence[OwnQuestion]) -> dict[str, Any]:
    return {
        "videos": len({row.video_id for row in rows}),
        "kinds": dict(sorted(Counter(row.kind for row in rows).items())),
        "letters": dict(sorted(Counter(row.text.answer for row in rows).items())),
    }
