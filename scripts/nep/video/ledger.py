"""What has been done: one file for each finished video, so that an interrupted shard goes on at the first open one."""

from pathlib import Path
from typing import Any

from nep.files import read_json, sha256_of_file, write_json
from nep.records.quarantine import Reason

# A hang or a crash may come from the machine, not from the video: the next run tries again.
_TRANSIENT = frozenset({Reason.SPLIT_TIMEOUT, Reason.SPLIT_CRASH})


class Ledger:
    """Finished rows of one recipe, each with the input that it came from: `folder/<id>.json`."""

    def __init__(self, folder: Path, run_dir: Path) -> None:
        self._folder = folder
        self._run_dir = run_dir

    def find(self, identity: str, given: dict[str, Any]) -> dict[str, Any] | None:
        """The row stored for `identity`, if it came from the same input and its files are still those it names."""
        path = self._folder / f"{identity}.json"
        if not path.is_file():
            return None
        entry = read_json(path)
        row = entry["row"]
        return row if entry["input"] == given and self._still_holds(row) else None

    def store(self, identity: str, given: dict[str, Any], row: dict[str, Any]) -> None:
        """Keep a finished row, atomically."""
        write_json(self._folder / f"{identity}.json", {"input": given, "row": row})

    def _still_holds(self, row: dict[str, Any]) -> bool:
        if row["status"] != "ok":
            return row["reason"] not in _TRANSIENT
        parts = [row[part] for part in ("first", "second") if row[part] is not None]
        return all(_is_intact(self._run_dir / part["path"], part["sha256"]) for part in parts)


def _is_intact(path: Path, digest: str) -> bool:
    return path.is_file() and sha256_of_file(path) == digest
