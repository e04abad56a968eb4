"""The questions of an evaluation, and the video that each of them is asked about."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

from nep.config.seedbench import SeedLevel
from nep.errors import InputError
from nep.files import confined, read_json, read_jsonl
from nep.stats.accuracy import KINDS
from nep.stats.answers import LETTERS

LEVELS = get_args(SeedLevel)


def read_questions(path: Path, limit: int | None, kinds: Sequence[str] = KINDS) -> list[dict[str, Any]]:
    """Rows of a question file whose kind is one of `kinds`, sorted by id, the first `limit` of them.

    Raises InputError naming file and record where there is no such row, an id occurs twice, or a row has an unknown
    kind, options other than A to D, or an answer that is none of them.
    """
    rows = sorted(read_jsonl(path), key=lambda row: row["id"])
    seen: set[str] = set()
    for row in rows:
        _check(path, row, seen)
    asked = [row for row in rows if row["kind"] in kinds]
    if not asked:
        raise InputError(f"{path}: no questions of the kind {' or '.join(kinds)}; the convert stage writes them")
    return asked[:limit]


def _check(path: Path, row: dict[str, Any], seen: set[str]) -> None:
    place = f"{path}, question {row['id']!r}"
    if row["id"] in seen:
        raise InputError(f"{place}: the id occurs twice")
    seen.add(row["id"])
    if row["kind"] not in (*KINDS, *LEVELS):
        raise InputError(f"{place}: kind {row['kind']!r}, should be one of {', '.join((*KINDS, *LEVELS))}")
    if sorted(row["options"]) != list(LETTERS):
        raise InputError(f"{place}: options {sorted(row['options'])}, should be A, B, C and D")
    if row["answer"] not in row["options"]:
        raise InputError(f"{place}: answer {row['answer']!r}, should be one of its options")


def shown_files(questions: Sequence[dict[str, Any]], key: str, run_dir: Path) -> dict[str, Path | None]:
    """Absolute path of each question's file under `key` ("video", "image"), by the question's id; None where it has
    none. Raises InputError if one is missing."""
    paths = {row["id"]: confined(run_dir, row[key]) for row in questions if row.get(key)}
    found = _existing(paths, "the download stage brings it")
    return {row["id"]: found.get(row["id"]) for row in questions}


def first_part_paths(questions: Sequence[dict[str, Any]], run_dir: Path) -> dict[str, Path]:
    """Absolute path of each question's video, by video id. Raises InputError if one is missing."""
    paths = {row["video_id"]: confined(run_dir, row["video"]) for row in questions}
    return _existing(paths, "the split stage makes it")


def control_paths(questions: Sequence[dict[str, Any]], run_dir: Path, manifest: Path) -> dict[str, Path]:
    """Absolute path of each question's control video, by video id, from `make_controls.py`'s manifest."""
    rows = read_json(manifest)
    missing = sorted({row["video_id"] for row in questions} - set(rows))
    if missing:
        raise InputError(f"{manifest}: no control video for {missing[0]!r} ({len(missing)} missing); make them again")
    paths = {row["video_id"]: confined(run_dir, rows[row["video_id"]]["path"]) for row in questions}
    return _existing(paths, "make_controls.py makes it")


def _existing(paths: dict[str, Path], maker: str) -> dict[str, Path]:
    for identity, path in sorted(paths.items()):
        if not path.is_file():
            raise InputError(f"{identity!r}: no file {path}; {maker}")
    return paths
