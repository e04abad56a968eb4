"""Objects that a stage left without a type of their own: manifests, steps of a training."""

from pathlib import Path
from typing import Any

from nep.errors import InputError

Row = dict[str, Any]


def checked(rows: list[Row], path: Path, keys: tuple[str, ...]) -> list[Row]:
    """`rows`, each of them an object with all of `keys`. Raises InputError that names file and row."""
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise InputError(f"{path}, row {number}: expected an object, found {row!r}")
        if absent := [key for key in keys if key not in row]:
            raise InputError(f"{path}, row {number}: no key {absent[0]!r} (found {', '.join(sorted(row)) or 'none'})")
    return rows
