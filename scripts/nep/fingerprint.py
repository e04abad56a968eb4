"""What a stage's logic is, as a hash: the syntax trees of its entry point and of the local modules that it imports.

Snakemake compares params: with this one, a change of logic re-runs exactly the stages that import it, and a change of a
comment, a docstring or the format re-runs nothing, nor does one of how a job is run (locks, queues).
"""

import ast
import hashlib
from functools import cache
from pathlib import Path

# Packages that every job goes through and that decide no result.
HOW_IT_IS_RUN = ("nep.workflow",)


def code_fingerprint(entry: Path, root: Path) -> str:
    """Hash of the logic of `entry` and of every module below `root` that it imports, directly or not."""
    digest = hashlib.sha256()
    for module in sorted(local_closure(entry.resolve(), root.resolve())):
        digest.update(module.relative_to(root.resolve()).as_posix().encode())
        digest.update(normalised_syntax(module).encode())
    return digest.hexdigest()[:16]


def local_closure(entry: Path, root: Path) -> frozenset[Path]:
    """`entry` and all modules below `root` reachable from it through import statements."""
    found: set[Path] = set()
    pending = [entry]
    while pending:
        module = pending.pop()
        if module not in found:
            found.add(module)
            pending.extend(local_imports(module, root))
    return frozenset(found)


@cache
def local_imports(module: Path, root: Path) -> frozenset[Path]:
    """Files below `root` that the import statements of one module name, package `__init__` files among them."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return frozenset(path for name in names if not _is_how_it_is_run(name) for path in _files_of(name, root))


def _is_how_it_is_run(dotted: str) -> bool:
    return any(f"{dotted}.".startswith(f"{package}.") for package in HOW_IT_IS_RUN)


def _files_of(dotted: str, root: Path) -> list[Path]:
    parts = dotted.split(".")
    files = [root.joinpath(*parts[:depth], "__init__.py") for depth in range(1, len(parts) + 1)]
    files.append(root.joinpath(*parts).with_suffix(".py"))
    return [path for path in files if path.is_file()]


@cache
def normalised_syntax(module: Path) -> str:
    """The module's syntax tree without docstrings, positions and comments."""
    tree = ast.parse(module.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            _drop_docstring(node)
    return ast.dump(tree, include_attributes=False)


def _drop_docstring(node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> None:
    first = node.body[0] if node.body else None
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        node.body = node.body[1:]
