"""Videos with their frames in another order: shuffled for T-GRPO's comparison of rollouts, or in any given one."""

import random
from collections.abc import Callable

import torch
from torch import Tensor

from nep.errors import InputError
from nep.model.family import Placeholder
from nep.model.vision_cache import VisionCache


class ReorderedCache:
    """A vision cache whose frames and features come in another order of the temporal grid's steps.

    Frames that share a step stay together, so that a tower sees from the frames what the features say.
    """

    def __init__(self, cache: VisionCache, order: Callable[[int, str], list[int]]) -> None:
        """`order`: number of steps and key of a clip → its steps in the order in which they come."""
        self._cache = cache
        self._order = order
        self.has_features = cache.has_features

    def frames(self, key: str) -> Tensor:
        """Frames uint8 (T, H, W, 3)."""
        return self._reordered(key, self._cache.frames(key))

    def features(self, key: str) -> Tensor:
        """Features (visual tokens, hidden), or (1 + layers, visual tokens, hidden)."""
        features = self._cache.features(key)
        return self._reordered(key, features, features.ndim - 2)

    def placeholder(self, key: str) -> Placeholder:
        """What stands for the clip in a prompt: the times that it tells stay in order."""
        return self._cache.placeholder(key)

    def _reordered(self, key: str, tensor: Tensor, dimension: int = 0) -> Tensor:
        order = self._order(self._steps(key), key)
        pieces = tensor.chunk(len(order), dim=dimension)
        return torch.cat([pieces[step] for step in order], dim=dimension)

    def _steps(self, key: str) -> int:
        """Steps in time: those of the grid, or else the frames. Raises InputError where tokens do not fit them."""
        placeholder = self._cache.placeholder(key)
        steps = placeholder.grid[0] if placeholder.grid else len(self._cache.frames(key))
        counts = {count for _, count in placeholder.runs if count}
        if len(counts) > 1 or placeholder.tokens % steps:
            raise InputError(
                f"grpo.shuffled_bonus: {placeholder.tokens} visual tokens of clip {key!r} do not fall into {steps} "
                "equal steps in time, as this model family makes them; set it to 0"
            )
        return steps


class ShuffledCache(ReorderedCache):
    """Shuffled by (seed, step, key); never in the original order where there are two steps or more."""

    def __init__(self, cache: VisionCache, seed: int, step: int) -> None:
        super().__init__(cache, lambda count, key: shuffled_order(count, f"{seed}/{step}/{key}"))


def shuffled_order(count: int, place: str) -> list[int]:
    """A permutation of `range(count)` drawn by `place`: not the identity, unless it is the only one."""
    source, order = random.Random(place), list(range(count))
    while count > 1 and order == sorted(order):
        source.shuffle(order)
    return order
