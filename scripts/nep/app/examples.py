"""Questions of a run's benchmark, with their whole videos, as ready examples."""

from dataclasses import dataclass
from pathlib import Path

from nep.errors import InputError
from nep.records.parse import find_video
from nep.report.benchmarks import split_name
from nep.report.frames import alternate
from nep.rows.base import read_rows
from nep.rows.quarantine import Rejection
from nep.rows.question import AskedQuestion
from nep.rows.record import Record

QUESTIONS = "convert/futurebench.jsonl"
RECORDS = "records/records.jsonl"
VIDEOS = "download/videos"


@dataclass(frozen=True)
class Example:
    """A question and its record; `video` is the path of the whole video below the run's videos."""

    question: AskedQuestion
    record: Record
    video: str

    @property
    def cut(self) -> float:
        """Seconds at which the benchmark cuts the video."""
        return self.record.split_time

    @property
    def kind(self) -> str:
        """What kind of question it is, in words."""
        return split_name(self.question.kind)


def examples_of(run: Path, count: int) -> list[Example]:
    """At most `count` questions whose whole videos the run still has, each kind in turn, each of another video.

    The choice is by a hash of the ids: it is the same in every call, and nobody's taste. None where the run has no
    benchmark of its own.
    """
    if not (run / QUESTIONS).is_file() or count == 0:
        return []
    questions = {question.id: question for question in read_rows(AskedQuestion, run / QUESTIONS)}
    records = {record.id: record for record in read_rows(Record, run / RECORDS)}
    found: dict[str, Example] = {}
    for identity in alternate(list(questions), {key: question.kind for key, question in questions.items()}):
        question = questions[identity]
        if question.video_id not in found and (example := _example(run, question, records.get(question.video_id))):
            found[question.video_id] = example
            if len(found) == count:
                break
    return list(found.values())


def _example(run: Path, question: AskedQuestion, record: Record | None) -> Example | None:
    """None where the video is not there to be cut."""
    if record is None or record.already_cut or record.split_time is None:
        return None
    try:
        return Example(question, record, find_video(run / VIDEOS, record.video))
    except (Rejection, InputError):
        return None
