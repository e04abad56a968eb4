"""The training questions that the stage `questions` chose, for GRPO."""

from collections import Counter
from typing import Any

from nep.data.inputs import Item, LeftOut
from nep.data.multiple_choice import MultipleChoice
from nep.records.schema import check_video_path, parse_question, question_identity, record_id

WRITTEN_MC = "written_mc"


def written_questions(rows: list[Any], items: list[Item]) -> tuple[list[MultipleChoice], Counter[str]]:
    """The questions (rows in the published form) on videos that are for training, and how many are on none, by reason.

    Raises Rejection for a row that is not of the published form.
    """
    by_video = {item.record.id: item for item in items}
    asked, left_out = [], Counter[str]()
    for row in rows:
        try:
            asked.append(_on_video(row, by_video))
        except LeftOut as reason:
            left_out[reason.reason] += 1
    return asked, left_out


def _on_video(row: dict[str, Any], by_video: dict[str, Item]) -> MultipleChoice:
    question = parse_question(row, question_identity(row), record_id(check_video_path(row.get("video_path"))))
    item = by_video.get(question.video_id)
    if item is None:
        raise LeftOut("no_training_video")
    name = f"written_{question.kind}"
    return MultipleChoice(item, "first", name, question.kind, question.question, question.options, question.answer)
