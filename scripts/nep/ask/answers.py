"""Answers that were paid for, by the hash of what was asked.

They lie in append-only files (`nep.ask.lines`). A line is `key check text`: 64 hexadecimal digits, 16 of the SHA-256 of
key and text, and the answer as a JSON string. What a crash of a machine leaves of a line has a wrong check and counts
as absent.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

from nep.ask.lines import OwnFile

KEY, CHECK = 64, 16


class Answers:
    """All answers in `folder` when it is opened, and those that this process adds to a file of its own."""

    def __init__(self, folder: Path, admit: Callable[[Path], None] | None = None) -> None:
        self._files: list[Path] = []
        # (number of the file, first byte, bytes) of each answer with the key
        self._places: dict[bytes, tuple[tuple[int, int, int], ...]] = {}
        for path in sorted(folder.glob("*.jsonl")):
            self._index(path)
        self._own = OwnFile(folder, admit)
        self._files.append(self._own.path)

    def __len__(self) -> int:
        return len(self._places)

    def find(self, key: str) -> Iterator[str]:
        """The answers with this key: one, or several where a later check refused the first and it was asked again."""
        for number, start, length in self._places.get(bytes.fromhex(key), ()):
            with self._files[number].open("rb") as file:
                file.seek(start)
                text = _text_of(file.read(length), key)
            if text is not None:
                yield text

    def keep(self, key: str, text: str) -> None:
        """Add an answer. Raises OSError where it cannot be written."""
        payload = json.dumps(text).encode()
        line = b"%s %s %s\n" % (key.encode(), _check(key.encode(), payload), payload)
        self._add(key, (len(self._files) - 1, self._own.append(line), len(line)))

    def close(self) -> None:
        """Close this process's file."""
        self._own.close()

    def _index(self, path: Path) -> None:
        start = 0
        with path.open("rb") as file:
            for line in file:
                # Whether a line is whole is found out when it is read.
                if _is_key(line[:KEY]):
                    self._add(line[:KEY].decode(), (len(self._files), start, len(line)))
                start += len(line)
        self._files.append(path)

    def _add(self, key: str, place: tuple[int, int, int]) -> None:
        digest = bytes.fromhex(key)
        self._places[digest] = (*self._places.get(digest, ()), place)


def _is_key(text: bytes) -> bool:
    return len(text) == KEY and not text.translate(None, b"0123456789abcdef")


def _text_of(line: bytes, key: str) -> str | None:
    check, payload = line[KEY + 1 : KEY + 1 + CHECK], line[KEY + 1 + CHECK + 1 : -1]
    return json.loads(payload) if check == _check(key.encode(), payload) else None


def _check(key: bytes, payload: bytes) -> bytes:
    return hashlib.sha256(key + payload).hexdigest()[:CHECK].encode()
