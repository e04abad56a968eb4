"""What reviewers decided: one JSONL file a reviewer, read, written atomically, and joined to one verdict a question."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, Literal

from pydantic import model_validator

from nep.errors import InputError
from nep.own_benchmark.checks import check_question
from nep.own_benchmark.rows import OwnQuestion, Wording
from nep.rows.base import Row, read_rows, write_rows
from nep.stats.kappa import cohens_kappa

Outcome = Literal["accepted", "rejected", "disagreed", "undecided"]


class Edit(Wording):
    """A question as a reviewer would have it; it keeps the checks of every question."""

    @model_validator(mode="after")
    def _keeps_the_checks(self) -> "Edit":
        check_question(self.question, list(self.options.values()))
        return self


class Decision(Row):
    """One reviewer's decision on the question `id` whose text had the digest `of`; an edit is accepted as edited."""

    id: str
    reviewer: str
    of: str
    verdict: Literal["accept", "reject"]
    edited: Edit | None = None

    @model_validator(mode="after")
    def _edits_are_accepted(self) -> "Decision":
        if self.edited is not None and self.verdict != "accept":
            raise ValueError("a question that is rejected has no 'edited'")
        return self


Decisions = Mapping[str, Mapping[str, Decision]]


@dataclass(frozen=True)
class Verdict:
    """What all reviewers together made of a question, and its text if they accepted it."""

    outcome: Outcome
    text: Wording


@dataclass(frozen=True)
class Agreement:
    """Two reviewers on the `questions` that both have decided; see `cohens_kappa`."""

    first: str
    second: str
    questions: int
    equal: int
    kappa: float | None


def read_decisions(files: Sequence[Path]) -> dict[str, dict[str, Decision]]:
    """Decisions by reviewer and question. Raises InputError that names file and row where one does not fit, where a
    reviewer decides twice on a question, or where a file is missing."""
    found: dict[str, dict[str, Decision]] = {}
    for file in files:
        for number, decision in enumerate(read_rows(Decision, file), start=1):
            own = found.setdefault(decision.reviewer, {})
            if decision.id in own:
                place = f"{file}, row {number}"
                raise InputError(
                    f"{place}: {decision.reviewer} has decided on {decision.id!r} before; keep one decision"
                )
            own[decision.id] = decision
    return found


def write_decisions(file: Path, decisions: Iterable[Decision]) -> None:
    """Write the decisions, sorted by question: complete or not at all."""
    write_rows(file, sorted(decisions, key=lambda decision: decision.id))


def on_these_texts(decisions: Decisions, questions: Sequence[OwnQuestion]) -> dict[str, dict[str, Decision]]:
    """The decisions on questions as they are now, by reviewer, without those on texts that have changed since."""
    digests = {question.id: question.text.digest for question in questions}
    return {
        reviewer: {identity: decision for identity, decision in own.items() if digests.get(identity) == decision.of}
        for reviewer, own in decisions.items()
    }


def verdict_on(question: OwnQuestion, decisions: Decisions) -> Verdict:
    """Accepted by every reviewer, rejected by every one, disagreed, or undecided while one has not decided.

    An edit is taken where the others accepted the question or changed it in the same way. Without reviewers, every
    question is undecided.
    """
    own = [found for each in decisions.values() if (found := each.get(question.id))]
    verdicts = {decision.verdict for decision in own}
    edits = {edit.digest: edit for decision in own if (edit := decision.edited)}
    if len(verdicts) > 1 or len(edits) > 1:
        return Verdict("disagreed", question.text)
    if not own or len(own) < len(decisions):
        return Verdict("undecided", question.text)
    if verdicts == {"reject"}:
        return Verdict("rejected", question.text)
    edit = next(iter(edits.values()), None)
    return Verdict("accepted", Wording(**edit.model_dump()) if edit else question.text)


def agreements(decisions: Decisions) -> list[Agreement]:
    """Every pair of reviewers on the questions that both have decided; an edit counts as accepting."""
    return [_agreement(first, second, decisions) for first, second in combinations(sorted(decisions), 2)]


def counts_of(decisions: Decisions, fresh: Decisions) -> dict[str, dict[str, int]]:
    """By reviewer: accepted (edited ones among them), rejected, and decisions on texts that are no longer there."""
    return {reviewer: _counts(own, fresh[reviewer]) for reviewer, own in sorted(decisions.items())}


def _agreement(first: str, second: str, decisions: Decisions) -> Agreement:
    both = sorted(decisions[first].keys() & decisions[second].keys())
    ours, theirs = ([decisions[reviewer][identity].verdict for identity in both] for reviewer in (first, second))
    equal = sum(one == other for one, other in zip(ours, theirs, strict=True))
    return Agreement(first, second, len(both), equal, cohens_kappa(ours, theirs))


def _counts(own: Mapping[str, Decision], fresh: Mapping[str, Decision]) -> dict[str, Any]:
    verdicts = Counter(decision.verdict for decision in fresh.values())
    return {
        "accepted": verdicts["accept"],
        "edited": sum(decision.edited is not None for decision in fresh.values()),
        "rejected": verdicts["reject"],
        "outdated": len(own) - len(fresh),
    }
