"""Every direct dependency is imported, or docs/dependencies.md says why it need not be; the page lists them all."""

import ast
import re

import pytest
from support.entry_points import ROOT
from support.environments import distributions_of, names_of

from environment_pins import normalised

ROW = re.compile(r"^\| `([\w-]+)` \| (.+) \|$", re.MULTILINE)
NAME = re.compile(r"^[\w-]+", re.MULTILINE)
CODE = ("scripts", "tools", "benchmarks")


@pytest.fixture(scope="module")
def documented() -> dict[str, str]:
    """What each package is there for."""
    return dict(ROW.findall((ROOT / "docs/dependencies.md").read_text(encoding="utf-8")))


@pytest.fixture(scope="module")
def imported() -> set[str]:
    """The installed distributions that some module of this repository, tests apart, imports or runs."""
    files = [file for folder in CODE for file in (ROOT / folder).rglob("*.py")]
    trees = [ast.parse(file.read_text(encoding="utf-8")) for file in files]
    names = {name.partition(".")[0] for tree in trees for node in ast.walk(tree) for name in names_of(node)}
    return set().union(*map(distributions_of, names))


def direct_dependencies() -> list[str]:
    return list(map(normalised, NAME.findall((ROOT / "requirements/main.in").read_text(encoding="utf-8"))))


def test_the_page_lists_the_direct_dependencies(documented: dict[str, str]) -> None:
    assert list(documented) == direct_dependencies()


@pytest.mark.parametrize("name", direct_dependencies())
def test_a_dependency_is_imported_or_the_page_says_why_not(
    name: str, documented: dict[str, str], imported: set[str]
) -> None:
    assert (name in imported) != ("*not imported*" in documented[name])
