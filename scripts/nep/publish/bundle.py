"""What goes into one repository."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Kind = Literal["model", "dataset", "space"]
# At which revision a card says that its repository is to be read: it cannot name the commit that it is part of.
BRANCH = "main"


@dataclass(frozen=True)
class Bundle:
    """Files and card of one repository.

    Attributes:
        what: names the record of the publication, `results/<run>/publish/<what>.json`.
        files: file by its name in the repository.
        replaces: patterns of names; what the repository has of them beside `files` is deleted with the commit.
        block: the name of the configuration block that reads the repository, and its keys but the revision; None
            for a Space.
    """

    what: str
    kind: Kind
    repo: str
    files: dict[str, Path]
    replaces: tuple[str, ...]
    block: tuple[str, dict[str, Any]] | None

    @property
    def label(self) -> str:
        """The repository in messages."""
        return f"hub {self.kind} {self.repo}"

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.stat().st_size for file in self.files.values())

    def configuration(self, revision: str) -> dict[str, Any]:
        """The configuration block that reads the repository at a revision; empty for a Space."""
        if self.block is None:
            return {}
        name, keys = self.block
        return {name: {"kind": "hub", "repo": self.repo, "revision": revision, **keys}}
