"""Files that are complete or absent, and paths that stay below their root."""

import glob
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nep.errors import InputError

CHUNK_BYTES = 1 << 20
LONG_NAME_BYTES = 200
# A lone surrogate has no UTF-8: it is written as the escape that JSON has for it.
_ERRORS = "backslashreplace"


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; it takes the name of `path` only when the block ends without error.

    The temporary name keeps the suffix, which encoders and serialisers read as the format. Works for files and folders.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    workspace = Path(tempfile.mkdtemp(prefix=_workspace_prefix(path), dir=path.parent))
    temporary = workspace / path.name
    try:
        yield temporary
        if path.is_dir():
            shutil.rmtree(path)
        temporary.replace(path)
    finally:
        shutil.rmtree(workspace, ignore_errors=True)


def link_or_copy(source: Path, target: Path) -> None:
    """Make `target` a hard link of `source`; a copy where there can be none: on another file system, of another user's
    file."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def drop_unfinished(path: Path) -> None:
    """Remove what killed runs have left of `path`, the work folders of `atomic_path`; nobody else may be writing it."""
    for left in path.parent.glob(f"{glob.escape(_workspace_prefix(path))}*"):
        shutil.rmtree(left)


def _workspace_prefix(path: Path) -> str:
    # A name may have 255 bytes, and the work folder's is longer than its file's.
    name = path.name if len(path.name.encode()) <= LONG_NAME_BYTES else hashlib.sha256(path.name.encode()).hexdigest()
    return f".{name}."


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors=_ERRORS)


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically, with sorted keys, so that equal values are equal bytes."""
    write_text(path, json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


def write_json_rows(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write a JSON list of objects atomically, one a line; for large lists, many times faster than `write_json`."""
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", errors=_ERRORS) as stream:
        stream.write("[")
        for number, row in enumerate(rows):
            stream.write((",\n" if number else "\n") + to_json_line(row).rstrip("\n"))
        stream.write("\n]\n")


def write_jsonl(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write one JSON object a line, atomically, with sorted keys."""
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", errors=_ERRORS) as stream:
        stream.writelines(map(to_json_line, rows))


def to_json_line(row: dict[str, Any]) -> str:
    """One row as the line that `write_jsonl` writes."""
    return json.dumps(row, sort_keys=True, ensure_ascii=False) + "\n"


def read_json(path: Path) -> Any:
    """Read JSON, with or without a byte-order mark. Raises InputError that names file and place."""
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not JSON ({error})") from None


def read_list(path: Path) -> list[Any]:
    """Read JSON that is a list. Raises InputError that names the file where it is something else."""
    rows = read_json(path)
    if not isinstance(rows, list):
        raise InputError(f"{path}: expected a list of objects, found {type(rows).__name__}")
    return rows


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """Read one JSON object a line; blank lines are none. Raises InputError that names file and line."""
    rows = []
    try:
        with path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.strip():
                    continue
                try:
                    rows.append(json.loads(line))
                except (json.JSONDecodeError, UnicodeDecodeError) as error:
                    raise InputError(f"{path}, line {number}: not JSON ({error})") from None
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    return rows


def sha256_of_file(path: Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def is_intact(path: Path, sha256: str) -> bool:
    """Whether the file is there and has this checksum."""
    return path.is_file() and sha256_of_file(path) == sha256


def sha256_of_json(value: Any) -> str:
    """SHA-256 of a value's canonical JSON, hexadecimal."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode(errors=_ERRORS)).hexdigest()


def confined(root: Path, relative: str) -> Path:
    """`root / relative`, resolved. Raises InputError when the result lies outside `root`."""
    path = (root / relative).resolve()
    if not path.is_relative_to(root.resolve()):
        raise InputError(f"path {relative!r} leaves its root {root}")
    return path
