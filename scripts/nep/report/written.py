"""Questions that were written here, for the data card: how often they are answered right, and what reviewers say."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nep.files import read_json
from nep.report.manifests import Row, checked

MANIFEST = "questions/manifest.json"
MEASURES = ("text_only", "without_video", "first_part", "second_part")
OUTCOMES = ("accepted", "rejected", "disagreed", "undecided")


@dataclass(frozen=True)
class WrittenRow:
    """Questions of one role: how many were measured and chosen, by kind, letter and video; of the chosen ones the share
    of right answers in each way of asking (in the order of MEASURES), and the visual gain, in percent."""

    role: str
    measured: int
    chosen: int
    videos: int
    kinds: dict[str, int]
    letters: dict[str, int]
    right: list[float | None]
    gain: float | None


@dataclass(frozen=True)
class Reviewer:
    """One reviewer's decisions; `edited` ones are accepted, `outdated` ones are about texts that have changed since."""

    name: str
    accepted: int
    edited: int
    rejected: int
    outdated: int


@dataclass(frozen=True)
class Pair:
    """Two reviewers on the questions that both have decided; `kappa` is None where it is not defined."""

    first: str
    second: str
    questions: int
    equal: int
    kappa: float | None


@dataclass(frozen=True)
class Written:
    """What the stage `questions` made; `outcomes`: questions by what all reviewers together made of them."""

    rows: list[WrittenRow]
    outcomes: dict[str, int]
    reviewers: list[Reviewer]
    pairs: list[Pair]


def read_written(root: Path) -> Written | None:
    """What the run at `root` says of its questions; None where it has written none."""
    path = root / MANIFEST
    if not path.is_file():
        return None
    (manifest,) = checked([read_json(path)], path, ("measured", "chosen", "review"))
    review = manifest["review"]
    return Written(
        rows=[_row(role, manifest["measured"][role], chosen) for role, chosen in manifest["chosen"].items()],
        outcomes={name: review["outcomes"].get(name, 0) for name in OUTCOMES},
        reviewers=[Reviewer(name, **counts) for name, counts in review["reviewers"].items()],
        pairs=[Pair(**pair) for pair in review["agreement"]],
    )


def _row(role: str, measured: Row, chosen: Row) -> WrittenRow:
    right = {name: _percent(chosen[name]) for name in MEASURES}
    with_second, without = right["second_part"], right["without_video"]
    return WrittenRow(
        role=role,
        measured=measured["questions"],
        chosen=chosen["questions"],
        videos=chosen["videos"],
        kinds=chosen["kinds"],
        letters=chosen["letters"],
        right=list(right.values()),
        gain=None if with_second is None or without is None else with_second - without,
    )


def _percent(tries: dict[str, Any]) -> float | None:
    return 100 * tries["right"] / tries["asked"] if tries["asked"] else None
