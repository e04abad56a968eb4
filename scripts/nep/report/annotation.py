"""How plain videos were annotated, for the data card: what each gate left, what it cost, where the cuts are."""

from collections import Counter
from dataclasses import dataclass, fields
from pathlib import Path
from statistics import median

from nep.files import read_json, read_jsonl
from nep.report.manifests import Row, checked
from nep.rows.base import read_rows
from nep.rows.quarantine import Quarantined

# What asked models, in the order of the workflow.
ASKING = ("annotate", "questions")
BOUNDARIES = {"shot": "the beginning of a shot", "event": "the end of an event", None: "stayed as placed"}


@dataclass(frozen=True)
class Gate:
    """Videos that one stage left out for one reason, and how many were left after it."""

    stage: str
    reason: str
    left_out: int
    left: int


@dataclass(frozen=True)
class Spent:
    """What one step of a stage used; see `nep.ask.spending.Usage`."""

    stage: str
    step: str
    requests: int
    cached: int
    retries: int
    reasks: int
    prompt_tokens: int
    completion_tokens: int
    money: float


@dataclass(frozen=True)
class Cuts:
    """Cuts that were moved to one kind of boundary: how many, and the median distance in seconds."""

    boundary: str
    videos: int
    moved_s: float


@dataclass(frozen=True)
class Annotation:
    """`looked_at`: plain videos of the source; `annotated`: those that passed all gates; `right`: predictions that the
    critique found right, of `judged`."""

    looked_at: int
    annotated: int
    gates: list[Gate]
    spent: list[Spent]
    cuts: list[Cuts]
    judged: int
    right: int

    @property
    def money(self) -> float:
        """What all steps cost."""
        return sum(step.money for step in self.spent)


def read_annotation(root: Path) -> Annotation | None:
    """What the stages of plain videos left at `root`; None where the source brought its annotations."""
    events, shots = root / "annotate/events.jsonl", root / "shots/shots.jsonl"
    if not events.is_file():
        return None
    rows = checked(read_jsonl(events), events, ("id", "cut", "placed", "boundary", "conclusion"))
    left_out = {stage: read_rows(Quarantined, root / stage / "rejected.jsonl") for stage in ("shots", "annotate")}
    looked_at = len(read_jsonl(shots)) + len(left_out["shots"])
    conclusions = Counter(row["conclusion"] for row in rows if row["conclusion"])
    return Annotation(
        looked_at=looked_at,
        annotated=len(rows),
        gates=gates_of(looked_at, left_out),
        spent=[row for stage in ASKING for row in _spent(root, stage)],
        cuts=cuts_of(rows),
        judged=conclusions.total(),
        right=conclusions["right"],
    )


def gates_of(looked_at: int, left_out: dict[str, list[Quarantined]]) -> list[Gate]:
    """Stages in their order; of one, the reasons that struck most videos first."""
    gates, left = [], looked_at
    for stage, rows in left_out.items():
        counts = Counter(str(row.reason) for row in rows)
        for reason in sorted(counts, key=lambda reason: (-counts[reason], reason)):
            left -= counts[reason]
            gates.append(Gate(stage, reason, counts[reason], left))
    return gates


def cuts_of(rows: list[Row]) -> list[Cuts]:
    """The kinds of boundaries that occur."""
    moves = {
        boundary: [abs(row["cut"] - row["placed"]) for row in rows if row["boundary"] == boundary]
        for boundary in BOUNDARIES
    }
    return [Cuts(BOUNDARIES[boundary], len(moved), median(moved)) for boundary, moved in moves.items() if moved]


def _spent(root: Path, stage: str) -> list[Spent]:
    file = root / stage / "usage.json"
    if not file.is_file():
        return []
    names = [field.name for field in fields(Spent) if field.name not in ("stage", "step")]
    return [
        Spent(stage, step, **{name: checked([count], file, tuple(names))[0][name] for name in names})
        for step, count in read_json(file).items()
    ]
