"""What the modules of `scripts/` import of each other, all of it, whether it decides a result or not."""

import ast
from collections.abc import Iterator
from pathlib import Path

from support.entry_points import ROOT

SCRIPTS = ROOT / "scripts"


def imported(module: Path) -> Iterator[Path]:
    """The library's files that a module names in its import statements, wherever they stand."""
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            file = SCRIPTS.joinpath(*name.split(".")).with_suffix(".py")
            if name.startswith("nep.") and file.is_file():
                yield file


def all_imported(entry: Path) -> set[Path]:
    """`entry` and the library's files that it imports, directly or not."""
    found: set[Path] = set()
    pending = [entry]
    while pending:
        module = pending.pop()
        if module not in found:
            found.add(module)
            pending.extend(imported(module))
    return found
