"""The published rows as typed records and questions.

Source of the layout: `next_event_prediction.json` and `futurebench.json` of the hub data set haonan3/V1-33K.
"""

import hashlib
import re
import unicodedata
from pathlib import PurePosixPath
from typing import Any

from nep.records.marks import without_marks
from nep.records.times import parse_scene_number, parse_split_scene, parse_split_time
from nep.rows.quarantine import Quarantined, Reason, Rejection
from nep.rows.question import LETTERS, Question
from nep.rows.record import VIDEO_FOLDERS, Event, QuestionAnswer, Record

# What may stand before the path that an archive has for a video.
PUBLISHED_PREFIXES = ("V1-33K", *VIDEO_FOLDERS)
UNKNOWN_SOURCE = "unknown"
# A key that no data set has of its own.
LEFT_OUT = "nep:left_out"
SLUG_LENGTH = 40
NAME_BYTES = 255
PATH_BYTES = 1024
KINDS = {"hop1": "hop1", "hop2": "hop2", "hop3": "hop3", "hop5": "interpolation", "interpolation": "interpolation"}
CONCLUSIONS = ("right", "wrong")

LONE_SURROGATE = re.compile(r"[\ud800-\udfff]")
INLINE_OPTIONS = re.compile(
    r"(?:^|[\s(?.:])A([).:])\s*(?P<A>\S.*?)\s*[\s(]B\1\s*(?P<B>\S.*?)\s*[\s(]C\1\s*(?P<C>\S.*?)\s*[\s(]D\1\s*(?P<D>\S.*?)\s*$",
    re.DOTALL,
)
LONE_LETTER = re.compile(r"\(?([A-Da-d])[).:]*")
LETTER_AND_TEXT = re.compile(r"\(?([A-D])[).:]+\s*(.+)", re.DOTALL)


def record_id(video_path: str) -> str:
    """`<source>-<slug of the stem>-<8 hex of SHA-256 of the path>`: ASCII, safe as a file name."""
    digest = hashlib.sha256(video_path.encode()).hexdigest()[:8]
    return f"{slug(source_of(video_path))}-{slug(PurePosixPath(video_path).stem)}-{digest}"


def source_of(video_path: str) -> str:
    """The folder right below `video_dataset/` or `first_part_video/`, or "unknown"."""
    folders = PurePosixPath(video_path).parts[:-1]
    for place, folder in enumerate(folders[:-1]):
        if folder in VIDEO_FOLDERS:
            return folders[place + 1]
    return UNKNOWN_SOURCE


def left_out_row(row: dict[str, Any], bad: Quarantined) -> dict[str, Any]:
    """A row whose video could not be made of its images, with the reason."""
    return {**row, LEFT_OUT: {"reason": bad.reason, "detail": bad.detail}}


def usable_video_path(row: dict[str, Any]) -> str:
    """A row's path, checked. Raises Rejection: bad_record, or why its video could not be made of its images."""
    if LEFT_OUT in row:
        raise Rejection(Reason(row[LEFT_OUT]["reason"]), row[LEFT_OUT]["detail"])
    return check_video_path(row.get("video_path"))


def check_video_path(value: Any) -> str:
    """A relative POSIX path that stays below its root, in its shortest spelling. Raises Rejection (bad_record)."""
    if not isinstance(value, str) or not value.strip():
        raise Rejection(Reason.BAD_RECORD, f"video_path must be a path, found {value!r}")
    path = PurePosixPath(value)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise Rejection(Reason.BAD_RECORD, f"video_path {value!r} leaves the video folder")
    if LONE_SURROGATE.search(value) or any(unicodedata.category(character) == "Cc" for character in value):
        raise Rejection(Reason.BAD_RECORD, f"video_path {value!r} holds control characters or broken Unicode")
    if len(value.encode()) > PATH_BYTES or any(len(part.encode()) > NAME_BYTES for part in path.parts):
        raise Rejection(
            Reason.BAD_RECORD, f"video_path {value[:60]!r}… is too long (a name has {NAME_BYTES} bytes at most)"
        )
    return path.as_posix()


def parse_record(row: Any, video_path: str, video: str, already_cut: bool) -> Record:
    """One row of `next_event_prediction.json`; `video` is the file's path below the video folder.

    Raises Rejection: missing_split_time, bad_split_time, or bad_record for a field of the wrong type.
    """
    split = _object(row, "video_split")
    captions = _object(split, "split_caption")
    reasoning = _object(row, "ds_reasoning")
    critique = _object(row, "o3_critique")
    scenes = split.get("scenes_timestep")
    return Record(
        id=record_id(video_path),
        video=video,
        source=source_of(video_path),
        split_time=None if already_cut else parse_split_time(scenes),
        already_cut=already_cut,
        split_scene=parse_split_scene(scenes),
        caption=_text(row, "caption"),
        caption_part1=_text(captions, "caption_part1"),
        caption_part2=_text(captions, "caption_part2"),
        events=_events(row),
        mc_qa=_question_answers(row, "mc_qa"),
        oe_qa=_question_answers(row, "oe_qa"),
        reasoning=_text(reasoning, "rewritten_reasoning_content"),
        prediction=_text(reasoning, "rewritten_prediction_content"),
        critique=_text(critique, "Critique"),
        conclusion=_conclusion(critique),
        hindsight=_text(row, "hindsight_reasoning"),
    )


def bare_record(video_path: str, video: str) -> Record:
    """A record for an evaluation video that is published already cut, without annotations."""
    return Record(
        id=record_id(video_path), video=video, source=source_of(video_path), split_time=None, already_cut=True
    )


def parse_question(row: dict[str, Any], identity: str, video_id: str) -> Question:
    """One row of `futurebench.json`. Raises Rejection: bad_question or no_right_answer."""
    kind = row.get("question_type")
    if not isinstance(kind, str) or kind not in KINDS:
        raise Rejection(Reason.BAD_QUESTION, f"question_type must be one of {', '.join(KINDS)}, found {kind!r}")
    asked = row.get("qa")
    if not isinstance(asked, dict):
        raise Rejection(Reason.BAD_QUESTION, f"qa must be an object, found {asked!r}")
    question = clean_text(asked.get("Question"))
    if not question:
        raise Rejection(Reason.BAD_QUESTION, f"qa.Question must be a text, found {asked.get('Question')!r}")
    inline = _inline_options(question)
    options = inline if not asked.get("Options") and inline else _options(asked.get("Options"))
    return Question(
        id=identity,
        video_id=video_id,
        kind=KINDS[kind],
        question=question,
        options=options,
        answer=_right_letter(asked.get("Answer"), options),
        options_inline=inline is not None,
    )


def question_identity(row: dict[str, Any]) -> str:
    """A question's id as text. Raises Rejection (bad_question)."""
    value = row.get("id")
    if isinstance(value, bool) or not isinstance(value, str | int) or not clean_text(str(value)):
        raise Rejection(Reason.BAD_QUESTION, f"id must be a text or a number, found {value!r}")
    return clean_text(str(value))


def clean_text(value: Any) -> str | None:
    """A text without marks, broken Unicode and outer white space; None where nothing is left."""
    if not isinstance(value, str):
        return None
    return LONE_SURROGATE.sub("\ufffd", without_marks(value)[0]).strip() or None


def slug(text: str) -> str:
    """A text as ASCII letters, digits and hyphens, of limited length."""
    ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9]+", "-", ascii_text).strip("-")[:SLUG_LENGTH].strip("-") or "video"


def _object(parent: dict[str, Any], key: str) -> dict[str, Any]:
    value = parent.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Rejection(Reason.BAD_RECORD, f"{key} must be an object, found {value!r}")
    return value


def _text(parent: dict[str, Any], key: str) -> str | None:
    value = parent.get(key)
    if value is not None and not isinstance(value, str):
        raise Rejection(Reason.BAD_RECORD, f"{key} must be a text, found {value!r}")
    return clean_text(value)


def _list(parent: dict[str, Any], key: str) -> list[Any]:
    value = parent.get(key)
    if value is None:
        return []
    if not isinstance(value, list):
        raise Rejection(Reason.BAD_RECORD, f"{key} must be a list, found {value!r}")
    return value


def _events(row: dict[str, Any]) -> tuple[Event, ...]:
    events = []
    for item in _list(row, "events"):
        scene = parse_scene_number(item.get("scene")) if isinstance(item, dict) else None
        description = clean_text(item.get("description")) if isinstance(item, dict) else None
        if scene is None or description is None:
            raise Rejection(
                Reason.BAD_RECORD, f'events: expected {{"scene": "Scene K", "description"}}, found {item!r}'
            )
        events.append(Event(scene=scene, description=description))
    scenes = [event.scene for event in events]
    if len(set(scenes)) != len(scenes):
        raise Rejection(Reason.BAD_RECORD, f"events: a scene occurs twice in {scenes}")
    return tuple(sorted(events, key=lambda event: event.scene))


def _question_answers(row: dict[str, Any], key: str) -> tuple[QuestionAnswer, ...]:
    items = _list(row, key)
    texts = [clean_text(item.get("value")) if isinstance(item, dict) else None for item in items]
    roles = [item.get("from") for item in items[0::2] if isinstance(item, dict)]
    if len(texts) % 2 or None in texts or "gpt" in roles:
        raise Rejection(Reason.BAD_RECORD, f"{key}: expected question and answer in turn, each with a text in 'value'")
    pairs = zip(texts[0::2], texts[1::2], strict=True)
    return tuple(QuestionAnswer(question=question, answer=answer) for question, answer in pairs)


def _conclusion(critique: dict[str, Any]) -> str | None:
    """Only the words right and wrong conclude anything; a record with another conclusion has none."""
    word = (_text(critique, "Conclusion") or "").rstrip(".").lower()
    return word if word in CONCLUSIONS else None


def _options(value: Any) -> dict[str, str]:
    texts = {key: clean_text(text) for key, text in value.items()} if isinstance(value, dict) else {}
    if sorted(texts) != list(LETTERS) or None in texts.values():
        raise Rejection(Reason.BAD_QUESTION, f"qa.Options must hold a text for each of A, B, C, D, found {value!r}")
    return {letter: texts[letter] for letter in LETTERS}


def _inline_options(question: str) -> dict[str, str] | None:
    found = INLINE_OPTIONS.search(question)
    return {letter: found[letter].rstrip("(").strip() for letter in LETTERS} if found else None


def _right_letter(answer: Any, options: dict[str, str]) -> str:
    text = clean_text(answer)
    if text and (lone := LONE_LETTER.fullmatch(text)):
        return lone[1].upper()
    if text and (both := LETTER_AND_TEXT.fullmatch(text)) and both[2].strip() == options[both[1]]:
        return both[1]
    named = [letter for letter, option in options.items() if option == text]
    if len(named) == 1:
        return named[0]
    raise Rejection(Reason.NO_RIGHT_ANSWER, f"qa.Answer {answer!r} is not one of the options {options}")
