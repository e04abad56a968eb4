"""What one reviewer has decided so far, kept in their file."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from nep.errors import InputError
from nep.own_benchmark.decisions import (
    Agreement,
    Decision,
    agreements,
    on_these_texts,
    read_decisions,
    write_decisions,
)
from nep.own_benchmark.rows import OwnQuestion
from nep.rows.base import read_rows


class Refused(Exception):  # noqa: N818 - an answer to the reviewer, not an error of the server
    """A decision that is not taken; the message says why."""


class Sent(BaseModel):
    """What the page sends: the question's id, the text that was shown (its digest), the verdict, a changed text."""

    model_config = ConfigDict(extra="forbid")

    id: str
    of: str
    verdict: str
    edited: dict[str, Any] | None = None


@dataclass(frozen=True)
class Progress:
    """Numbers of questions, and of those decided on."""

    questions: int
    accepted: int
    edited: int
    rejected: int

    @property
    def decided(self) -> int:
        """Questions that the reviewer has accepted or rejected."""
        return self.accepted + self.rejected


@dataclass
class Session:
    """One reviewer at work; `file` holds their decisions after each one, `others` are files of other reviewers."""

    questions: Sequence[OwnQuestion]
    reviewer: str
    file: Path
    others: Sequence[Path] = ()
    _decisions: dict[str, Decision] = field(init=False)
    _lock: threading.Lock = field(init=False, default_factory=threading.Lock)

    def __post_init__(self) -> None:
        found = read_decisions([self.file]) if self.file.is_file() else {}
        if strangers := sorted(found.keys() - {self.reviewer}):
            raise InputError(
                f"{self.file}: decisions of {strangers[0]!r}; each reviewer, {self.reviewer!r} too, has a file"
            )
        self._decisions = dict(found.get(self.reviewer, {}))

    def decision_on(self, question: OwnQuestion) -> Decision | None:
        """The reviewer's decision on the question as it is now."""
        decision = self._decisions.get(question.id)
        return decision if decision and decision.of == question.text.digest else None

    def decide(self, sent: bytes) -> int:
        """Take a decision as the page sends it (JSON) and write the file; returns the place of the question, from 0.

        Raises Refused for one about another question or text, or an edit that does not keep the checks of questions.
        """
        try:
            given = Sent.model_validate_json(sent)
            decision = Decision.model_validate({**given.model_dump(), "reviewer": self.reviewer})
        except ValidationError as error:
            raise Refused(_said(error)) from None
        place = next((place for place, row in enumerate(self.questions) if row.id == decision.id), None)
        if place is None:
            raise Refused(f"there is no question {decision.id!r}")
        if decision.of != self.questions[place].text.digest:
            raise Refused("the question has changed since it was shown: load the page again")
        with self._lock:
            kept = {**self._decisions, decision.id: decision}
            write_decisions(self.file, kept.values())
            self._decisions = kept
        return place

    def next_undecided(self, after: int = -1) -> int | None:
        """Place of the first question without a decision behind `after`, else from the start; None: there is none."""
        places = [place for place, row in enumerate(self.questions) if self.decision_on(row) is None]
        return next((place for place in places if place > after), places[0] if places else None)

    def progress(self) -> Progress:
        """How far the review is."""
        decisions = [decision for row in self.questions if (decision := self.decision_on(row))]
        accepted = [decision for decision in decisions if decision.verdict == "accept"]
        return Progress(
            questions=len(self.questions),
            accepted=len(accepted),
            edited=sum(decision.edited is not None for decision in accepted),
            rejected=len(decisions) - len(accepted),
        )

    def agreement(self) -> list[Agreement]:
        """This reviewer's agreement with each other one. None before all is decided: nobody is to be led by it."""
        if self.next_undecided() is not None:
            return []
        others = read_decisions([file for file in self.others if file.is_file()])
        fresh = on_these_texts({**others, self.reviewer: self._decisions}, self.questions)
        return [pair for pair in agreements(fresh) if self.reviewer in (pair.first, pair.second)]


def read_questions(file: Path) -> list[OwnQuestion]:
    """The questions to review. Raises InputError where the file is missing, or holds none."""
    questions = read_rows(OwnQuestion, file)
    if not questions:
        raise InputError(f"{file}: no question is within the bounds of questions.benchmark, there is nothing to review")
    return questions


def _said(error: ValidationError) -> str:
    item = error.errors()[0]
    return item["msg"].removeprefix("Value error, ")
