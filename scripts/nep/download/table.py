"""A table of annotations beside plain video files: read into the published form, its videos linked into the run."""

import csv
import difflib
import json
import math
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, get_args

import pyarrow.parquet

from nep.config.source import Column
from nep.errors import InputError, did_you_mean
from nep.files import atomic_path, confined, link_or_copy, read_jsonl, read_list, sha256_of_file
from nep.records.schema import check_video_path
from nep.rows.quarantine import Rejection

REQUIRED: tuple[Column, ...] = ("video_path", "split_time")
# In a CSV file these columns hold JSON: a list of texts or paths, or of {"question", "answer"}.
LISTS: tuple[Column, ...] = ("events", "mc_qa", "oe_qa", "frame_files")
# A column whose name is as similar as this to that of a missing one is taken for a slip.
NEARLY = 0.8
SCENE_NUMBER = re.compile(r"(?:scene\s*)?(\d{1,6})(?:\.0*)?", re.IGNORECASE)
# Decimal places of a parquet duration's unit.
_DIGITS = {"s": 0, "ms": -3, "us": -6, "ns": -9}


def read_table(path: Path, columns: Mapping[Column, str]) -> list[dict[str, Any]]:
    """The rows of a table, as `table_rows` reads them, in the form of V1-33K's annotations."""
    return [published_row(row) for row in table_rows(path, columns)]


def table_rows(path: Path, columns: Mapping[Column, str]) -> list[dict[Column, Any]]:
    """The rows of a .csv, .json (a list of objects), .jsonl or .parquet file; None where a row has no value.

    `columns` maps the names of `config.source.Column` to the table's own, where the two differ. Values are passed on as
    they are: what a row lacks or has wrong is the parser's to say. Raises InputError for another suffix; a file that
    cannot be read; a row with more or fewer fields than columns; a column that occurs twice, that is not read and has
    nearly the name of one that is missing, or that `columns` names, or that is required, and the table has not.
    """
    if path.suffix not in _READERS:
        raise InputError(f"{path}: a table is one of {', '.join(_READERS)}, found {path.suffix!r}")
    rows, names = _READERS[path.suffix](path)
    if repeated := [name for name, count in Counter(names).items() if count > 1]:
        raise InputError(f"{path}: column {repeated[0]!r} occurs twice (columns: {', '.join(names)}); name each once")
    places = {name: columns.get(name, name) for name in get_args(Column)}
    for name in (*columns, *REQUIRED):
        if rows and places[name] not in names:
            hint = did_you_mean(places[name], names) or f"source.columns says where '{name}' is"
            raise InputError(f"{path}: no column '{places[name]}'; {hint} (columns: {', '.join(names)})")
    _check_spelling(path, [name for name in places if places[name] not in names], set(names) - set(places.values()))
    return [{name: _value(name, row.get(place)) for name, place in places.items()} for row in rows]


def published_row(row: Mapping[Column, Any]) -> dict[str, Any]:
    """A table's row as an object of `next_event_prediction.json`; absent values are None or left out."""
    split = {"end": row["split_time"]}
    scene = _scene_number(row["split_scene"])
    # What is no number of a scene is handed on by its name, so that the parser rejects the row for it.
    scenes = {f"Scene {scene}": split} if scene else {"split_scene": row["split_scene"], **split}
    scenes = split if row["split_scene"] is None else scenes
    return {
        "video_path": row["video_path"],
        "caption": row["caption"],
        "events": _scenes(row["events"]),
        "video_split": {
            "split_caption": {"caption_part1": row["caption_part1"], "caption_part2": row["caption_part2"]},
            "scenes_timestep": [] if row["split_time"] is None else [scenes],
        },
        "mc_qa": _turns(row["mc_qa"]),
        "oe_qa": _turns(row["oe_qa"]),
        "ds_reasoning": {
            "rewritten_reasoning_content": row["reasoning"],
            "rewritten_prediction_content": row["prediction"],
        },
        "o3_critique": {"Critique": row["critique"], "Conclusion": row["conclusion"]},
        "hindsight_reasoning": row["hindsight"],
    }


def link_videos(folder: Path, rows: Iterable[Any], videos: Path) -> dict[str, dict[str, Any]]:
    """Link (on another file system: copy) the videos that `rows` name from `folder` into `videos`.

    The result has `{"path", "size", "sha256"}` of each by its path. A row without a usable path, or whose file is not
    there, is passed over here and rejected with its reason when it is parsed.
    """
    members = {}
    for name in sorted(set(_names(rows))):
        source = _file_below(folder, name)
        if source is None:
            continue
        target = confined(videos, name)
        if not (target.is_file() and target.samefile(source)):
            _link(source, target)
        members[name] = {"path": name, "size": source.stat().st_size, "sha256": sha256_of_file(source)}
    return members


def _check_spelling(path: Path, missing: list[Column], unread: set[str]) -> None:
    """Raise InputError for a column that is not read, but would be by a missing column's name."""
    for found in sorted(unread):
        likeness = {name: _likeness(name, found) for name in missing}
        name = max(likeness, key=likeness.__getitem__, default=None)
        if name and likeness[name] >= NEARLY:
            raise InputError(
                f"{path}: column '{found}' is not read; did you mean '{name}'? "
                f"rename it, or set source.columns: {{{name}: {found}}}"
            )


def _likeness(name: str, other: str) -> float:
    """From 0 to 1, without case and signs between words."""
    plain = ["".join(filter(str.isalnum, text.casefold())) for text in (name, other)]
    return difflib.SequenceMatcher(None, *plain).ratio()


def _scene_number(value: Any) -> int | None:
    """A whole number from 1, or "Scene K"; None for anything else."""
    found = SCENE_NUMBER.fullmatch(str(value).strip())
    return int(found[1]) or None if found else None


def _read_csv(path: Path) -> tuple[list[dict[str, Any]], list[str]]:
    # A list of questions in one cell is longer than the module's 131,072 characters.
    csv.field_size_limit(sys.maxsize)
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.reader(lines, strict=True)
            names = next(reader, [])
            rows = []
            for row in filter(None, reader):
                if len(row) != len(names):
                    raise InputError(_fields_differ(path, len(rows), reader.line_num, row, names))
                rows.append(dict(zip(names, row, strict=True)))
            return rows, names
    except (csv.Error, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a CSV file in UTF-8 ({error})") from None


def _fields_differ(path: Path, number: int, line: int, row: list[str], names: list[str]) -> str:
    place = f"{path}: row {number} (it ends in line {line}): {len(row)} fields for {len(names)} columns"
    if len(row) < len(names):
        return f"{place}: none for '{names[len(row)]}'; leave a field empty where there is no value"
    return (
        f"{place}: {row[len(names)]!r} is behind the last column, '{names[-1]}'; "
        "a text with a comma stands in double quotes"
    )


def _read_json(path: Path) -> tuple[list[dict[str, Any]], list[str]]:
    return _checked_objects(path, read_list(path))


def _read_jsonl(path: Path) -> tuple[list[dict[str, Any]], list[str]]:
    return _checked_objects(path, read_jsonl(path))


def _read_parquet(path: Path) -> tuple[list[dict[str, Any]], list[str]]:
    try:
        table = pyarrow.parquet.ParquetFile(path).read()
        columns = [_as_written(column) for column in table.columns]
    except pyarrow.ArrowException as error:
        raise InputError(f"{path}: not a parquet file ({error})") from None
    rows = [dict(zip(table.column_names, row, strict=True)) for row in zip(*columns, strict=True)]
    return rows, table.column_names


def _as_written(column: pyarrow.ChunkedArray) -> list[Any]:
    """Values with the decimals that were meant; durations as seconds, dates and times of day as text."""
    if pyarrow.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    kind = column.type
    if pyarrow.types.is_float16(kind) or pyarrow.types.is_float32(kind):
        # 0.4 of 32 bits is 0.4000000059… as a double, a frame later: its shortest decimal is what was meant.
        narrow = kind.to_pandas_dtype()
        return [value if value is None else float(str(narrow(value))) for value in column.to_pylist()]
    if pyarrow.types.is_duration(kind):
        ticks = column.cast(pyarrow.int64()).to_pylist()
        return [value if value is None else f"{Decimal(value).scaleb(_DIGITS[kind.unit]):f}" for value in ticks]
    if pyarrow.types.is_temporal(kind):
        return column.cast(pyarrow.string()).to_pylist()
    return column.to_pylist()


_READERS = {".csv": _read_csv, ".json": _read_json, ".jsonl": _read_jsonl, ".parquet": _read_parquet}


def _checked_objects(path: Path, rows: list[Any]) -> tuple[list[dict[str, Any]], list[str]]:
    for number, row in enumerate(rows):
        if not isinstance(row, dict):
            raise InputError(f"{path}: row {number}: expected an object, found {row!r}")
    return rows, list(dict.fromkeys(name for row in rows for name in row))


def _value(name: Column, value: Any) -> Any:
    if isinstance(value, str) and not value.strip():
        return None
    if name in LISTS and isinstance(value, str):
        try:
            return json.loads(value)
        except ValueError:
            # The parser rejects the row, and shows the text.
            return value
    if isinstance(value, float) and math.isnan(value):
        # How numpy and pandas write that there is no number.
        return None
    if isinstance(value, Decimal):
        return f"{value:f}"
    return value if value is None or isinstance(value, str | int | float | list | dict) else str(value)


def _scenes(events: Any) -> Any:
    if not isinstance(events, list):
        return events
    return [{"scene": f"Scene {number}", "description": text} for number, text in enumerate(events, start=1)]


def _turns(pairs: Any) -> Any:
    if not isinstance(pairs, list) or not all(isinstance(pair, dict) for pair in pairs):
        return pairs
    roles = (("human", "question"), ("gpt", "answer"))
    return [{"from": role, "value": pair.get(key)} for pair in pairs for role, key in roles]


def _names(rows: Iterable[Any]) -> Iterator[str]:
    """Paths of the rows' videos, each in its one spelling."""
    for row in rows:
        try:
            yield check_video_path(row.get("video_path") if isinstance(row, dict) else None)
        except Rejection:
            continue


def _file_below(folder: Path, name: str) -> Path | None:
    try:
        file = (folder / name).resolve(strict=True)
    except OSError:
        return None
    return file if file.is_file() else None


def _link(source: Path, target: Path) -> None:
    with atomic_path(target) as temporary:
        link_or_copy(source, temporary)
