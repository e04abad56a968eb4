"""What has been done: one file for each finished video, so that an interrupted shard goes on at the first open one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from nep.files import read_json, write_json


class Ledger:
    """Finished rows of one recipe, each with the input that it came from: `folder/<id>.json`.

    `holds` says whether a stored row is still true.
    """

    def __init__(self, folder: Path, holds: Callable[[dict[str, Any]], bool]) -> None:
        self._folder = folder
        self._holds = holds

    def find(self, identity: str, given: dict[str, Any]) -> dict[str, Any] | None:
        """The row stored for `identity`, if it came from the same input and still holds."""
        path = self._folder / f"{identity}.json"
        if not path.is_file():
            return None
        entry = read_json(path)
        row = entry["row"]
        return row if entry["input"] == given and self._holds(row) else None

    def store(self, identity: str, given: dict[str, Any], row: dict[str, Any]) -> None:
        """Keep a finished row, atomically."""
        write_json(self._folder / f"{identity}.json", {"input": given, "row": row})
