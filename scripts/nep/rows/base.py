"""What all rows have in common: they are typed, and written to and read from JSON lines through their type."""

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from nep.errors import InputError
from nep.files import read_jsonl, write_jsonl


class Writable(Protocol):
    """A row of any type."""

    def to_json(self) -> dict[str, Any]:
        """The row as it is written."""


class Row(BaseModel):
    """A row of a JSONL file: unknown keys are errors, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def to_json(self) -> dict[str, Any]:
        """The row as it is written: every key."""
        return self.model_dump(mode="json")


class SparseRow(Row):
    """A row of which not all have the same keys: one that was not given is not written."""

    def to_json(self) -> dict[str, Any]:
        """The row as it is written: the keys that it was made with."""
        return self.model_dump(mode="json", exclude_unset=True)


RowT = TypeVar("RowT", bound=Writable)


def read_rows(row_type: type[RowT], path: Path) -> list[RowT]:
    """Read a JSONL file of such rows. Raises InputError with file, row and key where one does not fit."""
    return rows_as(row_type, read_jsonl(path), str(path))


def write_rows(path: Path, rows: Iterable[Writable]) -> None:
    """Write a JSONL file, atomically."""
    write_jsonl(path, (row.to_json() for row in rows))


def rows_as(row_type: type[RowT], rows: Iterable[Any], name: str) -> list[RowT]:
    """Rows from their JSON values. Raises InputError with the file's `name`, the row's number and the key."""
    typed = []
    for number, row in enumerate(rows, start=1):
        try:
            typed.append(adapter(row_type).validate_python(row))
        except ValidationError as error:
            raise InputError(f"{name}, row {number}: {_described(error)}") from None
    return typed


@cache
def adapter(row_type: type[RowT]) -> TypeAdapter[RowT]:
    """What checks and writes rows of a type; making one takes longer than checking a row."""
    return TypeAdapter(row_type)


def _described(error: ValidationError) -> str:
    item = error.errors()[0]
    *outer, key = item["loc"] or ("the row",)
    if item["type"] == "missing":
        found = ", ".join(sorted(map(str, item["input"]))) or "none"
        return f"no key {key!r}{''.join(f' in {name}' for name in outer)} (found {found})"
    return f"{'.'.join(map(str, (*outer, key)))}: {item['msg']} (found {item['input']!r})"
