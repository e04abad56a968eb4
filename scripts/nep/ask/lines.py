"""Append-only files, one for each process that writes into a folder.

No two processes, on whatever machines, ever write one file: this needs no locks, which network file systems have at
best, and no file for each row. A line is written by one call.
"""

import json
import os
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

SYNC_EVERY_S = 5.0


class OwnFile:
    """This process's own file in a folder; it is made with its first line.

    A line outlives the process as soon as it is written, and its machine within seconds. `admit` is called with the new
    file, as where files of a shared folder need another mode.
    """

    def __init__(self, folder: Path, admit: Callable[[Path], None] | None = None) -> None:
        self._admit = admit
        # Names sort by age: of two answers to one question, all processes take the older one.
        name = f"{time.time_ns():020}-{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:12]}.jsonl"
        self.path = folder / name
        self._file: BinaryIO | None = None
        self._end = 0
        self._synced = 0.0

    def append(self, line: bytes) -> int:
        """Write a line, its end included; the byte where it starts. Raises OSError where it cannot be written whole."""
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # Unbuffered: one write is one call.
            self._file = self.path.open("xb", buffering=0)
            if self._admit is not None:
                self._admit(self.path)
        start = self._end
        written = self._file.write(line)
        self._end += written
        if written < len(line):
            raise OSError(f"{self.path}: only {written} of {len(line)} bytes could be written")
        if time.monotonic() - self._synced > SYNC_EVERY_S:
            self._sync()
        return start

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._sync()
            self._file.close()
            self._file = None

    def _sync(self) -> None:
        os.fsync(self._file.fileno())
        self._synced = time.monotonic()


def whole_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a file of JSON lines, without what a crash of its machine has left of the last ones."""
    with path.open("rb") as file:
        for line in file:
            try:
                row = json.loads(line)
            except ValueError:
                continue
            if line.endswith(b"\n") and isinstance(row, dict):
                yield row
