"""Draws that depend on nothing but their key: adding or dropping a record changes no other record's draw."""

import hashlib
import json
import random
from collections.abc import Iterable, Sequence
from typing import Protocol, TypeVar

HASH_BITS = 64


class Drawable(Protocol):
    """What is drawn: a row with an id."""

    @property
    def id(self) -> str: ...


ItemT = TypeVar("ItemT")
RowT = TypeVar("RowT", bound=Drawable)


def stable_hash(*key: str | int) -> int:
    """64 bits of SHA-256 of the key's parts."""
    digest = hashlib.sha256(json.dumps(key, ensure_ascii=False).encode()).digest()
    return int.from_bytes(digest[: HASH_BITS // 8])


def stable_unit(*key: str | int) -> float:
    """A number in [0, 1), uniform over keys."""
    return stable_hash(*key) / 2**HASH_BITS


def stable_choice(items: Sequence[ItemT], *key: str | int) -> ItemT:
    """One of `items`, uniform over keys."""
    return items[stable_hash(*key) % len(items)]


def stable_random(*key: str | int) -> random.Random:
    """A generator for draws that need more than one number."""
    return random.Random(stable_hash(*key))


def take_first_by_hash(rows: Iterable[RowT], n: int | None, seed: int, balance_sources: bool = False) -> list[RowT]:
    """The first `n` rows in the order of a hash of (seed, row id); all of them when `n` is None or too large.

    The components of a mixed set take turns, and with `balance_sources` the sources of each, as long as they have rows.
    Nested: the first 1,000 are among the first 3,000. A further row takes at most one row's place.
    """
    return _in_turn(list(rows), ("component", "source") if balance_sources else ("component",), seed)[:n]


def _in_turn(rows: list[RowT], keys: tuple[str, ...], seed: int) -> list[RowT]:
    """Rows by hash, where those with different values of the first key take turns; within one value, the next key."""
    if not keys:
        return sorted(rows, key=lambda row: (stable_hash(seed, row.id), row.id))
    groups: dict[str, list[RowT]] = {}
    for row in rows:
        groups.setdefault(getattr(row, keys[0], None) or "", []).append(row)
    # Who is first in a turn does not depend on the rows: a further row moves no other group's.
    turns = [
        ((turn, stable_hash(seed, value, turn), value), row)
        for value, group in groups.items()
        for turn, row in enumerate(_in_turn(group, keys[1:], seed))
    ]
    return [row for _, row in sorted(turns, key=lambda item: item[0])]
