"""The questions of an evaluation, and the video that each of them is asked about."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from nep.errors import InputError
from nep.files import confined, read_json
from nep.rows.base import read_rows
from nep.rows.question import AskedQuestion
from nep.stats.accuracy import KINDS


def read_questions(path: Path, limit: int | None, kinds: Sequence[str] = KINDS) -> list[AskedQuestion]:
    """Rows of a question file whose kind is one of `kinds`, sorted by id, the first `limit` of them.

    Raises InputError naming file and record where there is no such row, an id occurs twice, or a row does not fit.
    """
    rows = sorted(read_rows(AskedQuestion, path), key=lambda row: row.id)
    for before, row in itertools.pairwise(rows):
        if row.id == before.id:
            raise InputError(f"{path}, question {row.id!r}: the id occurs twice")
    asked = [row for row in rows if row.kind in kinds]
    if not asked:
        raise InputError(f"{path}: no questions of the kind {' or '.join(kinds)}; the convert stage writes them")
    return asked[:limit]


def shown_files(
    questions: Sequence[AskedQuestion], key: Literal["video", "image"], run_dir: Path
) -> dict[str, Path | None]:
    """Absolute path of each question's video or image, by the question's id; None where it has none.

    Raises InputError if one is missing.
    """
    paths = {row.id: confined(run_dir, path) for row in questions if (path := getattr(row, key))}
    found = _existing(paths, "the download stage brings it")
    return {row.id: found.get(row.id) for row in questions}


def first_part_paths(questions: Sequence[AskedQuestion], run_dir: Path) -> dict[str, Path]:
    """Absolute path of each question's video, by video id. Raises InputError if one is missing."""
    paths = {row.video_id: confined(run_dir, row.video) for row in questions}
    return _existing(paths, "the split stage makes it")


def control_paths(questions: Sequence[AskedQuestion], run_dir: Path, manifest: Path) -> dict[str, Path]:
    """Absolute path of each question's control video, by video id, from `make_controls.py`'s manifest."""
    rows = read_json(manifest)
    missing = sorted({row.video_id for row in questions} - set(rows))
    if missing:
        raise InputError(f"{manifest}: no control video for {missing[0]!r} ({len(missing)} missing); make them again")
    paths = {row.video_id: confined(run_dir, rows[row.video_id]["path"]) for row in questions}
    return _existing(paths, "make_controls.py makes it")


def _existing(paths: dict[str, Path], maker: str) -> dict[str, Path]:
    for identity, path in sorted(paths.items()):
        if not path.is_file():
            raise InputError(f"{identity!r}: no file {path}; {maker}")
    return paths
