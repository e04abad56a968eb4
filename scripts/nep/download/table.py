"""A table of annotations beside plain video files: read into the published form, its videos linked into the run."""

import csv
import json
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, get_args

import pyarrow.parquet

from nep.config.source import Column
from nep.download.place import checked_name
from nep.errors import InputError, did_you_mean
from nep.files import atomic_path, confined, read_jsonl, read_list, sha256_of_file

REQUIRED: tuple[Column, ...] = ("video_path", "split_time")
# In a CSV file these columns hold JSON: a list of texts, or of {"question", "answer"}.
LISTS: tuple[Column, ...] = ("events", "mc_qa", "oe_qa")


def read_table(path: Path, columns: Mapping[Column, str]) -> list[dict[str, Any]]:
    """The rows of a .csv, .json (a list of objects), .jsonl or .parquet file in the form of V1-33K's annotations.

    `columns` maps the names of `config.source.Column` to the table's own, where the two differ. Values are passed on as
    they are: what a row lacks or has wrong is the parser's to say. Raises InputError for another suffix, a file that
    cannot be read, and a column that `columns` names, or that is required, and the table has not.
    """
    if path.suffix not in _READERS:
        raise InputError(f"{path}: a table is one of {', '.join(_READERS)}, found {path.suffix!r}")
    rows, names = _READERS[path.suffix](path)
    places = {name: columns.get(name, name) for name in get_args(Column)}
    for name in (*columns, *REQUIRED):
        if rows and places[name] not in names:
            hint = did_you_mean(places[name], names) or f"source.columns says where '{name}' is"
            raise InputError(f"{path}: no column '{places[name]}'; {hint} (columns: {', '.join(names)})")
    return [published_row({name: _value(name, row.get(place)) for name, place in places.items()}) for row in rows]


def published_row(row: Mapping[Column, Any]) -> dict[str, Any]:
    """A table's row as an object of `next_event_prediction.json`; absent values are None or left out."""
    split = {"end": row["split_time"]}
    scenes = split if row["split_scene"] is None else {f"Scene {row['split_scene']}": split}
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
    }


def link_videos(folder: Path, rows: Iterable[Any], videos: Path) -> dict[str, dict[str, Any]]:
    """Link (on another file system: copy) the videos that `rows` name from `folder` into `videos`.

    The result has `{"path", "size", "sha256"}` of each by its path. A row without a usable path, or whose file is not
    there, is passed over here and rejected with its reason when it is parsed.
    """
    named = {row["video_path"] for row in rows if isinstance(row, dict) and isinstance(row.get("video_path"), str)}
    members = {}
    for name in sorted(named):
        source = _file_below(folder, name)
        if source is None:
            continue
        target = confined(videos, name)
        if not (target.is_file() and target.samefile(source)):
            _link(source, target)
        members[name] = {"path": name, "size": source.stat().st_size, "sha256": sha256_of_file(source)}
    return members


def _read_csv(path: Path) -> tuple[list[dict[str, Any]], list[str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.DictReader(lines, strict=True)
            return list(reader), list(reader.fieldnames or [])
    except (csv.Error, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a CSV file in UTF-8 ({error})") from None


def _read_json(path: Path) -> tuple[list[dict[str, Any]], list[str]]:
    return _checked_objects(path, read_list(path))


def _read_jsonl(path: Path) -> tuple[list[dict[str, Any]], list[str]]:
    return _checked_objects(path, read_jsonl(path))


def _read_parquet(path: Path) -> tuple[list[dict[str, Any]], list[str]]:
    try:
        table = pyarrow.parquet.read_table(path)
    except pyarrow.ArrowException as error:
        raise InputError(f"{path}: not a parquet file ({error})") from None
    return table.to_pylist(), table.column_names


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
    # Parquet has types that JSON lacks (decimals, times of day); their text is what the parser reads.
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


def _file_below(folder: Path, name: str) -> Path | None:
    try:
        file = (folder / checked_name(name)).resolve(strict=True)
    except (InputError, OSError, ValueError):
        # It leaves the folder, is not there, or is a name that no file can have.
        return None
    return file if file.is_file() else None


def _link(source: Path, target: Path) -> None:
    with atomic_path(target) as temporary:
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copyfile(source, temporary)
