"""The prompts of this stage: a folder with one file a step, read and checked."""

import string
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from nep.errors import InputError

# Name of each file, without its suffix, and what it is filled with.
FIELDS: Mapping[str, frozenset[str]] = {
    "write": frozenset({"task"}),
    "hop1": frozenset(),
    "hop2": frozenset(),
    "hop3": frozenset(),
    "interpolation": frozenset({"event"}),
    "distract": frozenset({"fault"}),
    "check": frozenset(),
    "without_video": frozenset(),
    "first_part": frozenset(),
    "second_part": frozenset(),
}


@dataclass(frozen=True)
class Wordings:
    """The prompts by the name of their file."""

    texts: Mapping[str, str]

    def fill(self, name: str, **values: str) -> str:
        """A prompt with its fields filled."""
        return self.texts[name].format(**values)


def wording_files(folder: Path) -> list[Path]:
    """The files of a folder of prompts."""
    return [folder / f"{name}.md" for name in FIELDS]


def load_wordings(folder: Path) -> Wordings:
    """Read a folder of prompts. Raises InputError that names a file which is missing, empty, or has other fields."""
    return Wordings({file.stem: _read(file, FIELDS[file.stem]) for file in wording_files(folder)})


def _read(file: Path, fields: frozenset[str]) -> str:
    try:
        text = file.read_text(encoding="utf-8").strip()
        found = {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}
    except FileNotFoundError:
        raise InputError(f"{file}: no such file") from None
    except ValueError as error:
        raise InputError(f"{file}: {error}") from None
    if not text:
        raise InputError(f"{file}: the prompt is empty")
    if found != fields:
        wanted = ", ".join(f"{{{name}}}" for name in sorted(fields)) or "no field in braces"
        raise InputError(f"{file}: the prompt must hold {wanted}, found {', '.join(sorted(found)) or 'none'}")
    return text
