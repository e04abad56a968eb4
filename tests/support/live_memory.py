"""Memory that tensors hold at once, counted from every operation, of tensors that need no storage of their own."""

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveMemory(TorchDispatchMode):
    """Adds up the storages that operations have made and that still live, in bytes; `peak`: the most of a moment."""

    def __init__(self) -> None:
        super().__init__()
        self._sizes: dict[int, int] = {}
        self.peak = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = {id(leaf.untyped_storage()) for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)}
        result = function(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor) and id(leaf.untyped_storage()) not in given:
                self._count(leaf.untyped_storage())
        self.peak = max(self.peak, self.now)
        return result

    @property
    def now(self) -> int:
        """What lives now."""
        return sum(self._sizes.values())

    def _count(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key not in self._sizes:
            self._sizes[key] = storage.nbytes()
            weakref.finalize(storage, self._sizes.pop, key, None)


def peak_bytes(call: Callable[[], Any]) -> int:
    """The most that tensors made by `call` hold at once."""
    with LiveMemory() as memory:
        call()
    return memory.peak
