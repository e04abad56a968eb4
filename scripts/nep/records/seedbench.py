"""SeedBench-R1's annotations (three levels) as typed questions on an image and, where there is one, a video.

Source of the layout: the annotation files of the hub data set TencentARC/SEED-Bench-R1.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from nep.errors import InputError
from nep.files import confined, read_jsonl, read_list, sha256_of_json
from nep.records.schema import check_video_path, clean_text, slug
from nep.rows.quarantine import Quarantined, Reason, Rejection
from nep.rows.question import LETTERS, Letter, Level, SeedQuestion

CHOICES = {letter: f"choice_{letter.lower()}" for letter in LETTERS}
HASH_LENGTH = 8


def read_annotations(path: Path) -> list[Any]:
    """Rows of a `.json` list or a `.jsonl` file. Raises InputError for another suffix or a file that is neither."""
    if path.suffix not in (".json", ".jsonl"):
        raise InputError(f"{path}: SeedBench-R1's annotations are .json or .jsonl, found {path.suffix!r}")
    return read_list(path) if path.suffix == ".json" else read_jsonl(path)


def parse_seedbench(
    files: Mapping[Level, Path], videos: Path, stage: str
) -> tuple[list[SeedQuestion], list[Quarantined]]:
    """The questions of all levels, and a quarantine row for each row that cannot be used."""
    questions: dict[str, SeedQuestion] = {}
    rejected = []
    for level, path in sorted(files.items()):
        for index, row in enumerate(read_annotations(path)):
            place = f"{path.name}[{index}]"
            try:
                question = _parse(row, level, videos)
                if question.id in questions:
                    raise Rejection(Reason.DUPLICATE_QUESTION, "the same question came before")
                questions[question.id] = question
            except Rejection as rejection:
                detail = f"{place}: {rejection.detail}"
                rejected.append(Quarantined(id=place, stage=stage, reason=rejection.reason, detail=detail))
    return list(questions.values()), rejected


def visual_paths(row: Any) -> Iterator[str]:
    """Paths of a row's video and image, as published; none for a row that does not name them."""
    if isinstance(row, dict) and isinstance(row.get("video_source"), str):
        for folder, key in (("videos", "video_basename"), ("images", "current_observation_basename")):
            if isinstance(row.get(key), str):
                yield f"{folder}/{row['video_source']}/{row[key]}"


def _parse(row: Any, level: Level, videos: Path) -> SeedQuestion:
    if not isinstance(row, dict):
        raise Rejection(Reason.BAD_QUESTION, f"expected an object, found {row!r}")
    source, video_name, video, image, question = (
        _text(row, key)
        for key in ("video_source", "video_id", "video_basename", "current_observation_basename", "question")
    )
    options = {letter: _text(row, key) for letter, key in CHOICES.items()}
    whole = (f"{source}/{video_name}", f"{source}/{PurePosixPath(video).stem}")
    return SeedQuestion(
        id=f"seedbench-r1-{level}-{slug(video_name)}-{sha256_of_json(row)[:HASH_LENGTH]}",
        video_id=f"seedbench-r1-{slug(source)}-{slug(PurePosixPath(video).stem)}-"
        f"{sha256_of_json([source, video])[:HASH_LENGTH]}",
        level=level,
        source=source,
        question=question,
        options=options,
        answer=_right_letter(row),
        video=_file(videos, f"videos/{source}/{video}"),
        image=_image(videos, f"images/{source}/{image}"),
        whole_videos=tuple(sorted({name.casefold() for name in whole})),
    )


def _text(row: dict[str, Any], key: str) -> str:
    text = clean_text(row.get(key))
    if text is None:
        raise Rejection(Reason.BAD_QUESTION, f"{key} must be a text, found {row.get(key)!r}")
    return text


def _right_letter(row: dict[str, Any]) -> Letter:
    value = row.get("golden_choice_idx")
    letter = value.strip().upper() if isinstance(value, str) else value
    if letter not in LETTERS:
        raise Rejection(Reason.NO_RIGHT_ANSWER, f"golden_choice_idx must be one of A, B, C, D, found {value!r}")
    return letter


def _image(videos: Path, path: str) -> str:
    if (found := _file(videos, path)) is None:
        raise Rejection(Reason.BAD_QUESTION, f"no image {path!r} below the video folder")
    return found


def _file(videos: Path, path: str) -> str | None:
    """The path below `videos`, with or without its first component; None where there is no such file."""
    checked = PurePosixPath(_checked(path))
    for candidate in (checked.as_posix(), PurePosixPath(*checked.parts[1:]).as_posix()):
        try:
            if confined(videos, candidate).is_file():
                return candidate
        except InputError as error:
            raise Rejection(Reason.BAD_QUESTION, str(error)) from None
    return None


def _checked(path: str) -> str:
    try:
        return check_video_path(path)
    except Rejection as rejection:
        raise Rejection(Reason.BAD_QUESTION, rejection.detail) from None
