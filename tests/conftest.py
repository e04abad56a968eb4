"""Fixtures that every room's tests can use; `tests/` itself is on the path, so `support.…` imports work."""

from support.tiny_checkpoint import tiny_checkpoint

__all__ = ["tiny_checkpoint"]
