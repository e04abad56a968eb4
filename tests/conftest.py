"""Fixtures that every room's tests can use, and the order of all tests; `tests/` itself is on the path, so
`support.…` imports work."""

from pathlib import Path

import pytest
from support.tiny_checkpoint import tiny_checkpoint

from mini_clips import extract

__all__ = ["tiny_checkpoint"]


@pytest.fixture(scope="session")
def mini(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The clips of `mini_clips`, extracted."""
    return extract(tmp_path_factory.mktemp("mini"))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--write-docs", action="store_true", help="write docs/reruns.md anew")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Quick tests first: what they find is known before the end-to-end runs begin."""
    items.sort(key=lambda item: item.get_closest_marker("e2e") is not None)
