"""Why a record, question, video or segment is left out: one enumeration for all stages, and the row that says so."""

from collections import Counter
from collections.abc import Iterable
from enum import StrEnum

from nep.rows.base import Row


class Reason(StrEnum):
    """Every reason for a quarantine row, by the stage that finds it."""

    UNORDERED_IMAGES = "unordered_images"
    MISSING_IMAGE = "missing_image"
    UNREADABLE_IMAGE = "unreadable_image"
    MIXED_IMAGE_SIZES = "mixed_image_sizes"
    BAD_FRAME_RATE = "bad_frame_rate"
    FRAMES_TIMEOUT = "frames_timeout"
    FRAMES_CRASH = "frames_crash"

    BAD_RECORD = "bad_record"
    DUPLICATE_RECORD = "duplicate_record"
    MISSING_SPLIT_TIME = "missing_split_time"
    BAD_SPLIT_TIME = "bad_split_time"
    MISSING_VIDEO = "missing_video"
    EMPTY_VIDEO = "empty_video"

    ANSWER_INVALID = "answer_invalid"
    ANSWER_TRUNCATED = "answer_truncated"
    ANSWER_REFUSED = "answer_refused"
    ANSWER_FAILED = "answer_failed"

    BAD_QUESTION = "bad_question"
    DUPLICATE_QUESTION = "duplicate_question"
    NO_RIGHT_ANSWER = "no_right_answer"
    QUESTION_WITHOUT_RECORD = "question_without_record"

    SHOTS_TIMEOUT = "shots_timeout"
    SHOTS_CRASH = "shots_crash"
    BAD_DURATION = "bad_duration"
    NEAR_DUPLICATE_VIDEO = "near_duplicate_video"

    UNSUITABLE = "unsuitable"
    TOO_FEW_EVENTS = "too_few_events"
    CUT_OUTSIDE = "cut_outside"
    NOT_SHOWN = "not_shown"

    TWO_RIGHT_OPTIONS = "two_right_options"
    NOT_WHAT_HAPPENS = "not_what_happens"
    SOLVED_WITHOUT_VIDEO = "solved_without_video"
    NOT_SEEN_IN_SECOND_PART = "not_seen_in_second_part"
    NOT_FORESEEN = "not_foreseen"
    ALWAYS_FORESEEN = "always_foreseen"
    GUESSED_WITHOUT_VIDEO = "guessed_without_video"
    NO_VISUAL_GAIN = "no_visual_gain"
    REVIEW_REJECTED = "review_rejected"
    REVIEW_DISAGREED = "review_disagreed"
    NOT_REVIEWED = "not_reviewed"

    SPLIT_OUTSIDE_VIDEO = "split_outside_video"
    UNDECODABLE_VIDEO = "undecodable_video"
    INCOMPLETE_VIDEO = "incomplete_video"
    SPLIT_TIMEOUT = "split_timeout"
    SPLIT_CRASH = "split_crash"
    SPLIT_NOT_EXACT = "split_not_exact"

    UNDECODABLE_SEGMENT = "undecodable_segment"
    TOO_FEW_FRAMES = "too_few_frames"


class Rejection(Exception):  # noqa: N818 - a verdict about one row, not an error of the run
    """One row cannot be used: it becomes a quarantine row, and the run goes on."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class Quarantined(Row):
    """A row of `rejected.jsonl`: what a stage set aside, and why."""

    id: str
    stage: str
    reason: Reason
    detail: str


def count_reasons(rows: Iterable[Quarantined]) -> dict[str, int]:
    """How many rows each reason has."""
    return dict(sorted(Counter(str(row.reason) for row in rows).items()))
