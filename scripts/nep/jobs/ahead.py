"""Making the next item in a thread while one is used."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
_END = object()


def one_ahead(items: Iterable[Item]) -> Iterator[Item]:
    """The items in their order; the next one is made in a thread while this one is used."""
    making = iter(items)
    with ThreadPoolExecutor(max_workers=1) as executor:
        following = executor.submit(next, making, _END)
        while (item := following.result()) is not _END:
            following = executor.submit(next, making, _END)
            yield item
