"""Matrices of configurations: `make test` runs a fixed sample of each, `make test-matrix` what has the mark `matrix`.

    python tests/support/matrix.py --is-current   status 0 where the whole has passed on the code as it is
    python tests/support/matrix.py --note         notes in tests/matrix.sha256 that it has

They depend on the modules that their test files import, directly or not, on DeepSpeed's files and on the packages.
"""

import argparse
import hashlib
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS, TESTS = ROOT / "scripts", ROOT / "tests"
NOTE = TESTS / "matrix.sha256"
OTHER_FILES = ("requirements/main.txt", "requirements/test.txt", "config/deepspeed/*.json")


MATRIX = pytest.mark.matrix


def fingerprint() -> str:
    """Hash of all that the matrices depend on."""
    from nep.fingerprint import syntax_of

    digest = hashlib.sha256()
    for module in sorted(closure(entries())):
        digest.update(f"{module.relative_to(ROOT)} {syntax_of(module, None).digest}\n".encode())
    for file in sorted(path for pattern in OTHER_FILES for path in ROOT.glob(pattern)):
        digest.update(f"{file.relative_to(ROOT)} {hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def entries() -> Iterable[Path]:
    """The test files that have matrices, with the fixtures that they see."""
    for file in TESTS.rglob("test_*.py"):
        if "from support.matrix import MATRIX" in file.read_text(encoding="utf-8"):
            yield file
            yield from (folder / "conftest.py" for folder in file.parents if (folder / "conftest.py").is_file())


def closure(files: Iterable[Path]) -> set[Path]:
    """Modules of tests and scripts that the files import, directly or not, and themselves."""
    from nep.fingerprint import local_imports

    found: set[Path] = set()
    pending = list(files)
    while pending:
        module = pending.pop()
        if module not in found:
            found.add(module)
            # Test modules import their neighbours by name alone.
            pending.extend(
                path for root in (SCRIPTS, TESTS, module.parent) for path in local_imports(module, root, None)
            )
    return found


def main() -> int:
    """Read the options and do it; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--is-current", action="store_true")
    what.add_argument("--note", action="store_true")
    options = parser.parse_args()
    if options.note:
        NOTE.write_text(f"{fingerprint()}\n", encoding="utf-8")
        return 0
    return 0 if NOTE.is_file() and NOTE.read_text(encoding="utf-8").strip() == fingerprint() else 1


if __name__ == "__main__":
    sys.path.insert(0, str(SCRIPTS))
    sys.exit(main())
