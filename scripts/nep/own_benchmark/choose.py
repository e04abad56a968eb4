"""Which questions the benchmark and the training take: bounds on what was measured, and reviewers' decisions."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, get_args

from nep.config.own_benchmark import GainBounds, OwnBenchmark
from nep.data.draw import stable_unit
from nep.files import write_json
from nep.own_benchmark.decisions import (
    Outcome,
    Verdict,
    agreements,
    counts_of,
    on_these_texts,
    read_decisions,
    verdict_on,
)
from nep.own_benchmark.rows import OwnQuestion
from nep.rows.base import read_rows, write_rows
from nep.rows.quarantine import Quarantined, Reason, count_reasons

STAGE = "questions"
Role = Literal["benchmark", "training"]
MEASURES = ("text_only", "without_video", "first_part", "second_part")
_REVIEWED: dict[Outcome, Reason] = {
    "rejected": Reason.REVIEW_REJECTED,
    "disagreed": Reason.REVIEW_DISAGREED,
    "undecided": Reason.NOT_REVIEWED,
}


def broken_bound(question: OwnQuestion, bounds: GainBounds) -> Reason | None:
    """The first bound that the question does not keep, in the order of the keys."""
    second, first, without = question.second_part.share, question.first_part.share, question.without_video.share
    kept = {
        Reason.NOT_SEEN_IN_SECOND_PART: second >= bounds.least_with_second,
        Reason.NOT_FORESEEN: first >= bounds.least_with_first,
        Reason.ALWAYS_FORESEEN: first <= bounds.most_with_first,
        Reason.GUESSED_WITHOUT_VIDEO: without <= bounds.most_without_video,
        Reason.NO_VISUAL_GAIN: question.visual_gain >= bounds.least_gain,
    }
    return next((reason for reason, is_kept in kept.items() if not is_kept), None)


def role_of(video_id: str, benchmark_fraction: float) -> Role:
    """By a hash of the id alone: a video stays where it is when others come, or with another seed."""
    return "benchmark" if stable_unit("own_benchmark", video_id) < benchmark_fraction else "training"


def choose_questions(questions: Path, reviews: Sequence[Path], how: OwnBenchmark, out_dir: Path) -> dict[str, Any]:
    """Write what is chosen (`futurebench.json`, `training.json`), what is not (`left_out.jsonl`), what reviewers are
    shown (`to_review.jsonl`: the benchmark's questions within its bounds) and `manifest.json`, which it returns.

    Raises InputError that names a file of decisions and its row where one does not fit.
    """
    rows = read_rows(OwnQuestion, questions)
    roles = {row.id: role_of(row.video_id, how.benchmark_fraction) for row in rows}
    outside = {row.id: reason for row in rows if (reason := broken_bound(row, getattr(how, roles[row.id])))}
    to_review = [row for row in rows if roles[row.id] == "benchmark" and row.id not in outside]
    decisions = read_decisions(reviews)
    fresh = on_these_texts(decisions, to_review)
    verdicts = {row.id: verdict_on(row, fresh) for row in to_review}
    reasons = outside | {
        identity: reason
        for identity, verdict in verdicts.items()
        if (reason := _left_out_by(verdict.outcome, how.only_accepted))
    }
    chosen: dict[Role, list[OwnQuestion]] = {
        role: [_as_reviewed(row, verdicts) for row in rows if roles[row.id] == role and row.id not in reasons]
        for role in get_args(Role)
    }
    left_out = [
        Quarantined(id=row.id, stage=STAGE, reason=reasons[row.id], detail=_described(row))
        for row in rows
        if row.id in reasons
    ]
    manifest = {
        "measured": {role: _measured([row for row in rows if roles[row.id] == role]) for role in chosen},
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
    write_rows(out_dir / "to_review.jsonl", to_review)
    write_rows(out_dir / "left_out.jsonl", left_out)
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
