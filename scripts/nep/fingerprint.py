"""What a stage's logic is, as a hash: the syntax trees of its entry point and of the local modules that it imports.

Snakemake compares params: with this one, a change of logic re-runs exactly the stages that import it, and a change of a
comment, a docstring, the description of a configuration key or the format re-runs nothing, nor does one of how a job is
run (locks, queues, process control).

Each start of Snakemake asks for all of them, and parsing takes a second: what was found of a module's text can be kept.
"""

import ast
import hashlib
import sys
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from nep.files import read_json, write_json

# What jobs go through and what decides no result.
EXECUTION_ONLY = ("nep.cli", "nep.workflow", "nep.train.runtime")
# What is kept holds for this module and this Python.
MAKER = f"{sys.version_info[:2]}{Path(__file__).read_text(encoding='utf-8')}"


@dataclass(frozen=True)
class Syntax:
    """What counts of a module: a hash of its syntax tree, and what its import statements name."""

    digest: str
    imports: list[str]


def code_fingerprint(entry: Path, root: Path, kept: Path | None = None) -> str:
    """Hash of the logic of `entry` and of every module below `root` that it imports, directly or not.

    `kept` is a folder of what was found before; it may be deleted.
    """
    digest = hashlib.sha256()
    for module in sorted(local_closure(entry.resolve(), root.resolve(), kept)):
        digest.update(module.relative_to(root.resolve()).as_posix().encode())
        digest.update(syntax_of(module, kept).digest.encode())
    return digest.hexdigest()[:16]


def local_closure(entry: Path, root: Path, kept: Path | None = None) -> frozenset[Path]:
    """`entry` and all modules below `root` reachable from it through import statements."""
    found: set[Path] = set()
    pending = [entry]
    while pending:
        module = pending.pop()
        if module not in found:
            found.add(module)
            pending.extend(local_imports(module, root, kept))
    return frozenset(found)


@cache
def local_imports(module: Path, root: Path, kept: Path | None) -> frozenset[Path]:
    """Files below `root` that the import statements of one module name, package `__init__` files among them."""
    names = syntax_of(module, kept).imports
    return frozenset(path for name in names if not _is_how_it_is_run(name) for path in _files_of(name, root))


@cache
def syntax_of(module: Path, kept: Path | None) -> Syntax:
    """What counts of the module's text: without docstrings, descriptions of fields, positions and comments."""
    text = module.read_text(encoding="utf-8")
    if kept is None:
        return _parsed(text)
    file = kept / f"{hashlib.sha256(f'{MAKER}{text}'.encode()).hexdigest()}.json"
    if not file.is_file():
        write_json(file, asdict(_parsed(text)))
    return Syntax(**read_json(file))


def _parsed(text: str) -> Syntax:
    tree = ast.parse(text)
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            _drop_docstring(node)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Field":
            node.keywords = [keyword for keyword in node.keywords if keyword.arg != "description"]
    dumped = ast.dump(tree, include_attributes=False)
    return Syntax(hashlib.sha256(dumped.encode()).hexdigest(), sorted(names))


def _drop_docstring(node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> None:
    first = node.body[0] if node.body else None
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        node.body = node.body[1:]


def _is_how_it_is_run(dotted: str) -> bool:
    return any(f"{dotted}.".startswith(f"{package}.") for package in EXECUTION_ONLY)


@cache
def _files_of(dotted: str, root: Path) -> tuple[Path, ...]:
    parts = dotted.split(".")
    files = [root.joinpath(*parts[:depth], "__init__.py") for depth in range(1, len(parts) + 1)]
    files.append(root.joinpath(*parts).with_suffix(".py"))
    return tuple(path for path in files if path.is_file())
