"""Logs of a run, one JSON object a line, cut back to the checkpoint on resume."""

import json
import os
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from nep.files import to_json_line, write_text

BYTES_PER_RSS_UNIT = 1 if sys.platform == "darwin" else 1024


class StepLog:
    """Rows with a key `step`, appended and flushed one by one. Only the main process writes.

    Attributes: `kept`, the rows that an earlier run has left, on every process; `followers`, called with the log's name
    and each new row by the process that writes.
    """

    def __init__(self, path: Path, last_step: int, writes: bool, keep_start: bool = False) -> None:
        """Open `path`, dropping rows after `last_step` and a line that a killed run left torn.

        For 0 all rows are dropped, with `keep_start` those after 0: the start model's weights are never lost.
        """
        self.path = path
        self._writes = writes
        lines = _lines_up_to(path, last_step) if last_step or keep_start else []
        self.kept: list[dict[str, Any]] = [json.loads(line) for line in lines]
        self.followers: list[Callable[[str, dict[str, Any]], None]] = []
        if writes:
            write_text(path, "".join(lines))

    @property
    def kept_steps(self) -> list[int]:
        """Steps of the kept rows."""
        return [row["step"] for row in self.kept]

    def write(self, row: dict[str, Any]) -> None:
        """Append one row."""
        if self._writes:
            with self.path.open("a", encoding="utf-8") as stream:
                stream.write(to_json_line(row))
                stream.flush()
                os.fsync(stream.fileno())
            for follower in self.followers:
                follower(self.path.stem, row)


def peak_memory_bytes() -> int:
    """Peak memory of this process so far: allocated on its GPU, or resident where it has none."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * BYTES_PER_RSS_UNIT


def _lines_up_to(path: Path, last_step: int) -> list[str]:
    if not path.exists():
        return []
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        if not line.endswith("\n") or json.loads(line)["step"] > last_step:
            break
        kept.append(line)
    return kept
