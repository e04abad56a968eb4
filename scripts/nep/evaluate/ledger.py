"""A model's answer to each question of each task: written as it comes, so that a killed evaluation goes on."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from nep.files import to_json_line

Key = tuple[str, int]
# Label of the progress bar of a process that answers.
PROGRESS = "answers"


@dataclass(frozen=True)
class Answer:
    """The completion to document `doc` of `task`, or why there is none."""

    task: str
    doc: int
    text: str
    error: str | None = None

    @property
    def key(self) -> Key:
        """What it answers."""
        return self.task, self.doc


class Ledger:
    """The completions in a folder: one file for each process that has written any."""

    def __init__(self, folder: Path) -> None:
        """Read what earlier processes have written; the line that one was killed at counts as not written."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._answers: dict[Key, Answer] = {}
        for path in sorted(folder.glob("*.jsonl")):
            complete, _, _ = path.read_text(encoding="utf-8").rpartition("\n")
            self._remember(Answer(**json.loads(line)) for line in complete.splitlines())

    def __contains__(self, key: object) -> bool:
        """Whether the question has a completion: one that failed is asked again by the next process."""
        answer = self._answers.get(key)
        return answer is not None and answer.error is None

    def __getitem__(self, key: Key) -> Answer:
        return self._answers[key]

    def errors(self) -> dict[Key, str]:
        """Why questions have no completion."""
        return {key: answer.error for key, answer in self._answers.items() if answer.error is not None}

    def write(self, file: str, rows: Iterable[Answer]) -> None:
        """Add completions to this process's `file`."""
        rows = list(rows)
        with (self._folder / file).open("a", encoding="utf-8") as stream:
            stream.writelines(to_json_line(asdict(row)) for row in rows)
        self._remember(rows)

    def _remember(self, rows: Iterable[Answer]) -> None:
        for row in rows:
            if row.key not in self:
                self._answers[row.key] = row
