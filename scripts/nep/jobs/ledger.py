"""What has been done: one file for each finished video, so that an interrupted shard goes on at the first open one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic

from nep.files import read_json, write_json
from nep.rows.base import RowT, rows_as


class Ledger(Generic[RowT]):
    """Finished rows of one recipe, each with the input that it came from: `folder/<id>.json`.

    `holds` says whether a stored row is still true.
    """

    def __init__(self, folder: Path, row_type: type[RowT], holds: Callable[[RowT], bool]) -> None:
        self._folder = folder
        self._row_type = row_type
        self._holds = holds

    def find(self, identity: str, given: dict[str, Any]) -> RowT | None:
        """The row stored for `identity`, if it came from the same input and still holds."""
        path = self._folder / f"{identity}.json"
        if not path.is_file():
            return None
        entry = read_json(path)
        (row,) = rows_as(self._row_type, [entry["row"]], str(path))
        return row if entry["input"] == given and self._holds(row) else None

    def store(self, identity: str, given: dict[str, Any], row: RowT) -> None:
        """Keep a finished row, atomically."""
        write_json(self._folder / f"{identity}.json", {"input": given, "row": row.to_json()})
