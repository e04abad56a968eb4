"""What goes into one repository."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Kind = Literal["model", "dataset", "space"]
# At which revision a card says that its repository is to be read: it cannot name the commit that it is part of.
BRANCH = "main"


@dataclass(frozen=True)
class Target:
    """A repository of the hub."""

    kind: Kind
    repo: str

    @property
    def label(self) -> str:
        """The repository in messages."""
        return f"hub {self.kind} {self.repo}"


@dataclass(frozen=True)
class Bundle:
    """Files and card of one repository.

    Attributes:
        what: names the record of the publication, `results/<run>/publish/<what>.json`.
        files: file by its name in the repository.
        replaces: patterns of names; what the repository has of them beside `files` is deleted with the commit.
        block: the name of the configuration block that reads the repository, and its keys but the place; None where
            none does.
    """

    what: str
    target: Target
    files: dict[str, Path]
    replaces: tuple[str, ...]
    block: tuple[str, dict[str, Any]] | None = None

    def size(self, names: Iterable[str]) -> int:
        """Bytes of these files."""
        return sum(self.files[name].stat().st_size for name in names)

    def configuration(self, revision: str) -> dict[str, Any]:
        """The configuration block that reads the repository at a revision; empty where none does."""
        if self.block is None:
            return {}
        name, keys = self.block
        return {name: {"kind": "hub", "repo": self.target.repo, "revision": revision, **keys}}
