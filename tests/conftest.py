"""Fixtures that every room's tests can use, and the order of all tests; `tests/` itself is on the path, so
`support.…` imports work."""

import os
from pathlib import Path

import pytest
from support.fork_server import start_fork_server
from support.tiny_checkpoint import tiny_checkpoint

from mini_clips import extract

__all__ = ["tiny_checkpoint"]

# Of torch here and in each process that tests start: threads that wait for each other burn the cores that other tests
# could use.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session", autouse=True)
def fork_server(request: pytest.FixtureRequest) -> None:
    """Before the first test: whichever stage starts the server of a process has it import for itself alone."""
    if any("train" in item.path.parts for item in request.session.items):
        start_fork_server()


@pytest.fixture(scope="session")
def mini(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The clips of `mini_clips`, extracted."""
    return extract(tmp_path_factory.mktemp("mini"))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--write-docs", action="store_true", help="write docs/reruns.md anew")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Quick tests first: what they find is known before the end-to-end runs begin. Of two workers one begins at the
    start and the other in the middle: there the long tests come first, so that both end at the same time."""
    parallel = hasattr(config, "workerinput")
    items.sort(key=lambda item: (item.get_closest_marker("e2e") is None) == parallel)
