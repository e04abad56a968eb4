"""Questions of one's own as the stage `questions` leaves them, and a run that they can be reviewed in."""

from pathlib import Path
from typing import Any

from support.synthetic_run import COLOURS, write_clip, write_lines

from nep.own_benchmark.rows import OwnQuestion, Tries, Wording

CUT_S = 1.0
OPTIONS = {"A": "She opens the door.", "B": "She drops the egg.", "C": "He lights the stove.", "D": "He fills the pan."}
MARKUP = '<img src=x onerror="document.title=`taken`"><b>bold</b>'


def tries(right: int, asked: int = 4) -> Tries:
    return Tries(right=right, asked=asked)


def own_question(number: int, **changes: Any) -> OwnQuestion:
    """A question that keeps the default bounds; changes are of its wording or of the row."""
    text = Wording(
        question=changes.pop("question", f"What happens next in video {number}?"),
        options=changes.pop("options", OPTIONS),
        answer=changes.pop("answer", "B"),
    )
    values = {
        "id": f"unknown-clip{number}-00000000-hop1",
        "video_id": f"unknown-clip{number}-00000000",
        "video_path": f"clip{number}.mp4",
        "cut": CUT_S,
        "kind": "hop1",
        "text": text,
        "happens": ("She drops the egg.",),
        "rounds": 0,
        "text_only": tries(1),
        "without_video": tries(1),
        "first_part": tries(2),
        "second_part": tries(4),
        "visual_gain": 0.75,
    }
    return OwnQuestion(**{**values, **changes})


def write_questions(file: Path, questions: list[OwnQuestion]) -> Path:
    write_lines(file, [question.model_dump(mode="json") for question in questions])
    return file


def write_reviewed_run(root: Path, questions: list[OwnQuestion]) -> Path:
    """A run whose questions can be reviewed: `to_review.jsonl`, and a video of 20 frames for each."""
    write_questions(root / "questions" / "to_review.jsonl", questions)
    for question in questions:
        write_clip(root / "download" / "videos" / question.video_path, COLOURS["red"], 0.0, 0.5, 20, 160)
    return root


def questions_manifest(**review: Any) -> dict[str, Any]:
    """The manifest of the stage `questions`; `review` changes what it says of reviewers."""
    shares = {
        "text_only": {"right": 10, "asked": 40},
        "without_video": {"right": 8, "asked": 40},
        "first_part": {"right": 22, "asked": 40},
        "second_part": {"right": 38, "asked": 40},
    }
    none = {name: {"right": 0, "asked": 0} for name in shares}
    composition = {"videos": 5, "kinds": {"hop1": 7, "hop2": 3}, "letters": {"A": 4, "D": 6}}
    said = {
        "outcomes": {"accepted": 6, "disagreed": 1, "rejected": 2, "undecided": 1},
        "reviewers": {
            "anna": {"accepted": 7, "edited": 1, "rejected": 2, "outdated": 0},
            "<b>ben</b>": {"accepted": 6, "edited": 0, "rejected": 3, "outdated": 4},
        },
        "agreement": [{"first": "anna", "second": "<b>ben</b>", "questions": 9, "equal": 8, "kappa": 0.727}],
    }
    return {
        "measured": {"benchmark": {"questions": 14, **shares}, "training": {"questions": 3, **none}},
        "chosen": {
            "benchmark": {"questions": 10, **shares, **composition},
            "training": {"questions": 0, **none, "videos": 0, "kinds": {}, "letters": {}},
        },
        "left_out_by_reason": {"no_visual_gain": 4},
        "review": {**said, **review},
    }
