"""Fixtures that every room's tests can use, and the order of all tests; `tests/` itself is on the path, so
`support.…` imports work."""

import pytest
from support.tiny_checkpoint import tiny_checkpoint

__all__ = ["tiny_checkpoint"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Quick tests first: what they find is known before the end-to-end runs begin."""
    items.sort(key=lambda item: item.get_closest_marker("e2e") is not None)
