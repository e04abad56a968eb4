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
