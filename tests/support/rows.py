"""Rows that a stage would write, with what a test does not care for filled in."""

from typing import Any

from nep.rows.cut import Cut, LostVideo, Segment
from nep.rows.question import AskedQuestion, SeedQuestion
from nep.rows.record import Record
from nep.rows.sample import Sample

OPTIONS = {"A": "The red lamp.", "B": "The blue lamp.", "C": "The green lamp.", "D": "The pink lamp."}


def record(identity: str, video: str, **changes: Any) -> Record:
    """A record without annotations, to be cut at 1 s."""
    values = {"source": "demo", "split_time": 1.0, "already_cut": False}
    return Record(id=identity, video=video, **{**values, **changes})


def seed_question(identity: str, **changes: Any) -> SeedQuestion:
    """A question of SeedBench-R1's first level about the video `a`."""
    values = {
        "id": identity,
        "video_id": "a",
        "level": "l1",
        "source": "Ego4D",
        "question": "What is planned next?",
        "options": dict.fromkeys("ABCD", "Wash it."),
        "answer": "A",
        "video": None,
        "image": "images/Ego4D/a.png",
        "whole_videos": ("Ego4D/a",),
    }
    return SeedQuestion(**{**values, **changes})


def cut(identity: str, **changes: Any) -> Cut:
    """A video of 48 frames at 12 a second, encoded in two parts."""
    values = {
        "id": identity,
        "way": "encode",
        "why": None,
        "encoded_frames": 12,
        "incomplete": None,
        "time_base": "1/12288",
        "fps": 12.0,
        "width": 112,
        "height": 112,
        "source_frames": 48,
        "duration": 4.0,
        "split_pts": 30720,
        "audio": None,
        "first": segment(identity, "first", 30),
        "second": segment(identity, "second", 18),
    }
    return Cut(**{**values, **changes})


def segment(identity: str, part: str, frames: int) -> Segment:
    """One part of a video."""
    return Segment(path=f"segments/{part}/{identity}.mp4", frames=frames, sha256="0" * 64)


def lost(identity: str, reason: str = "undecodable_video", detail: str = "") -> LostVideo:
    """A video that the split set aside."""
    return LostVideo(id=identity, stage="split", reason=reason, detail=detail)


def asked(identity: str, **changes: Any) -> AskedQuestion:
    """A question of FutureBench about the video `v0`."""
    values = {
        "id": identity,
        "video_id": "v0",
        "kind": "hop1",
        "question": "Which lamp lights up next?",
        "options": OPTIONS,
        "options_inline": False,
        "answer": "A",
        "video": "segments/first/v0.mp4",
        "record": {"source": "demo", "caption_part2": "The red lamp lights up."},
    }
    return AskedQuestion.model_validate({**values, **changes})


def sample(identity: str, **changes: Any) -> Sample:
    """A right answer to a question of FutureBench."""
    values = {
        "task": "futurebench",
        "question_id": identity,
        "variant": "direct",
        "control": None,
        "completion": "A",
        "parsed": "A",
        "correct": True,
        "error": None,
    }
    return Sample(**{**values, **changes})
