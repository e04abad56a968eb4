"""Annotation and question files → records.jsonl, questions.jsonl, rejected.jsonl and a manifest."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from nep.errors import InputError
from nep.files import confined, read_list, sha256_of_file, write_json
from nep.records.marks import marks_in
from nep.records.schema import (
    PUBLISHED_PREFIXES,
    bare_record,
    check_video_path,
    parse_question,
    parse_record,
    question_identity,
    record_id,
    usable_video_path,
)
from nep.records.seedbench import parse_seedbench
from nep.rows.base import Row, write_rows
from nep.rows.quarantine import Quarantined, Reason, Rejection, count_reasons
from nep.rows.question import Level, Question, SeedQuestion
from nep.rows.record import CUT_FOLDER, Record

STAGE = "records"


@dataclass
class Parsed:
    """What an annotation file and a question file gave."""

    records: list[Record] = field(default_factory=list)
    questions: list[Question] = field(default_factory=list)
    seedbench: list[SeedQuestion] = field(default_factory=list)
    rejected: list[Quarantined] = field(default_factory=list)
    # Marks that were taken out of texts, by the id of the record or question.
    altered: dict[str, Counter[str]] = field(default_factory=dict)

    def note_marks(self, identity: str, row: Any) -> None:
        """Note what is taken out of the texts of a row."""
        if marks := marks_in(row):
            self.altered[identity] = marks


def parse_files(
    annotations: Path, questions: Path | None, videos: Path, seedbench: Mapping[Level, Path] | None = None
) -> Parsed:
    """Read all files; `videos` is the folder that video paths are looked up in.

    A row that cannot be used becomes a row of `rejected`. Raises InputError for a file that is not a JSON list.
    """
    if not videos.is_dir():
        raise InputError(f"{videos}: no such folder of videos")
    parsed = Parsed()
    _parse_annotations(read_list(annotations), annotations.name, videos, parsed)
    if questions is not None:
        _parse_questions(read_list(questions), questions.name, videos, parsed)
    parsed.seedbench, rejected = parse_seedbench(seedbench or {}, videos, STAGE)
    parsed.rejected += rejected
    return parsed


def write_parsed(parsed: Parsed, out_dir: Path) -> None:
    """Write the four JSONL files, sorted by id, and `manifest.json` with counts and SHA-256 of each."""
    files: dict[str, list[Row]] = {
        "records.jsonl": sorted(parsed.records, key=_by_id),
        "questions.jsonl": sorted(parsed.questions, key=_by_id),
        "seedbench_r1.jsonl": sorted(parsed.seedbench, key=_by_id),
        "rejected.jsonl": sorted(parsed.rejected, key=lambda row: (row.id, row.detail)),
    }
    for name, rows in files.items():
        write_rows(out_dir / name, rows)
    write_json(out_dir / "manifest.json", _manifest(parsed, {name: sha256_of_file(out_dir / name) for name in files}))


def find_video(videos: Path, video_path: str) -> str:
    """The path below `videos` of an annotation's video: the whole path, else without a prefix of the published layout.

    Raises Rejection: bad_record for a path (or a link) that leaves `videos`, missing_video, empty_video.
    """
    first, *rest = PurePosixPath(video_path).parts
    # Any other first component is a folder of the user's: without it, the file is another video.
    candidates = [video_path, *([PurePosixPath(*rest).as_posix()] if rest and first in PUBLISHED_PREFIXES else [])]
    for candidate in candidates:
        try:
            file = confined(videos, candidate)
        except InputError as error:
            raise Rejection(Reason.BAD_RECORD, f"video_path {video_path!r}: {error}") from None
        if file.is_file():
            if file.stat().st_size == 0:
                raise Rejection(Reason.EMPTY_VIDEO, f"{candidate!r} has no bytes")
            return candidate
    raise Rejection(Reason.MISSING_VIDEO, f"no file {' or '.join(map(repr, candidates))} below the video folder")


def _parse_annotations(rows: list[Any], name: str, videos: Path, parsed: Parsed) -> None:
    places: dict[str, str] = {}
    for index, row in enumerate(rows):
        place = f"{name}[{index}]"
        try:
            record = _record(row, videos, places)
        except Rejection as rejection:
            parsed.rejected.append(_rejected(_identity_of_record(row, place), place, rejection))
        else:
            places[record.video] = place
            parsed.records.append(record)
            parsed.note_marks(record.id, row)


def _record(row: Any, videos: Path, places: dict[str, str]) -> Record:
    if not isinstance(row, dict):
        raise Rejection(Reason.BAD_RECORD, f"expected an object, found {row!r}")
    video_path = usable_video_path(row)
    video = find_video(videos, video_path)
    if video in places:
        raise Rejection(Reason.DUPLICATE_RECORD, f"{video!r} has a record already: {places[video]}")
    return parse_record(row, video_path, video, _is_cut(video))


def _parse_questions(rows: list[Any], name: str, videos: Path, parsed: Parsed) -> None:
    records = {record.video: record for record in parsed.records}
    reasons = {row.id: row.reason for row in parsed.rejected}
    seen: set[str] = set()
    for index, row in enumerate(rows):
        place = f"{name}[{index}]"
        try:
            record, question = _question(row, videos, records, reasons, seen)
        except Rejection as rejection:
            parsed.rejected.append(_rejected(_identity_of_question(row, place), place, rejection))
            continue
        seen.add(question.id)
        parsed.questions.append(question)
        parsed.note_marks(question.id, row)
        if record.video not in records:
            records[record.video] = record
            parsed.records.append(record)


def _question(
    row: Any, videos: Path, records: dict[str, Record], reasons: dict[str, Reason], seen: set[str]
) -> tuple[Record, Question]:
    if not isinstance(row, dict):
        raise Rejection(Reason.BAD_QUESTION, f"expected an object, found {row!r}")
    identity = question_identity(row)
    if identity in seen:
        raise Rejection(Reason.DUPLICATE_QUESTION, f"a question {identity!r} came before")
    record = _record_of_question(usable_video_path(row), videos, records, reasons)
    return record, parse_question(row, identity, record.id)


def _record_of_question(
    video_path: str, videos: Path, records: dict[str, Record], reasons: dict[str, Reason]
) -> Record:
    video = find_video(videos, video_path)
    if video in records:
        return records[video]
    if reason := reasons.get(record_id(video_path)):
        raise Rejection(Reason.QUESTION_WITHOUT_RECORD, f"the record of {video!r} was rejected: {reason}")
    if not _is_cut(video):
        raise Rejection(Reason.QUESTION_WITHOUT_RECORD, f"{video!r} has no record that says where to cut it")
    return bare_record(video_path, video)


def _rejected(identity: str, place: str, rejection: Rejection) -> Quarantined:
    return Quarantined(id=identity, stage=STAGE, reason=rejection.reason, detail=f"{place}: {rejection.detail}")


def _identity_of_question(row: Any, place: str) -> str:
    try:
        return question_identity(row) if isinstance(row, dict) else place
    except Rejection:
        return place


def _identity_of_record(row: Any, place: str) -> str:
    try:
        return record_id(check_video_path(row.get("video_path"))) if isinstance(row, dict) else place
    except Rejection:
        return place


def _is_cut(video: str) -> bool:
    return PurePosixPath(video).parts[0] == CUT_FOLDER


def _by_id(row: Record | Question | SeedQuestion) -> str:
    return row.id


def _manifest(parsed: Parsed, sha256: dict[str, str]) -> dict[str, Any]:
    return {
        "files": sha256,
        "records": len(parsed.records),
        "questions": len(parsed.questions),
        "seedbench_r1": _counts(question.level for question in parsed.seedbench),
        "rejected": len(parsed.rejected),
        "rejected_by_reason": count_reasons(parsed.rejected),
        "records_by_source": _counts(record.source for record in parsed.records),
        "questions_by_kind": _counts(question.kind for question in parsed.questions),
        "altered": {identity: dict(marks) for identity, marks in parsed.altered.items()},
    }


def _counts(values: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(values).items()))
