"""The page of one question: rendered with autoescape, under a policy that lets no other script run."""

from pathlib import Path

from nep.own_benchmark.decisions import Agreement, Decision
from nep.own_benchmark.rows import OwnQuestion, Wording
from nep.report.benchmarks import split_name
from nep.report.rendering import template
from nep.review.session import Session

HERE = Path(__file__).parent


def render_question(session: Session, place: int, run: str, token: str) -> tuple[str, str]:
    """The page of the question at `place` (from 0) and the hash of its script, as its policy names it."""
    question = session.questions[place]
    decision = session.decision_on(question)
    page = template("review.html", HERE, "review.js")
    html = page.render(
        run=run,
        token=token,
        reviewer=session.reviewer,
        place=place,
        question=question,
        kind=split_name(question.kind),
        text=_shown(question, decision),
        state=_state(decision),
        progress=session.progress(),
        agreement=[_with_other(pair, session.reviewer) for pair in session.agreement()],
    )
    return html, page.globals["script_hash"]


def _shown(question: OwnQuestion, decision: Decision | None) -> Wording:
    return (decision and decision.edited) or question.text


def _state(decision: Decision | None) -> str:
    if decision is None:
        return "open"
    if decision.verdict == "reject":
        return "rejected"
    return "edited" if decision.edited else "accepted"


def _with_other(pair: Agreement, reviewer: str) -> tuple[str, Agreement]:
    return (pair.second if pair.first == reviewer else pair.first), pair
