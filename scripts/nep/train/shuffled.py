"""The videos of a step with their order in time destroyed, for rollouts to compare with (T-GRPO)."""

import random

from torch import Tensor

from nep.encode.cache import VisionCache


class ShuffledCache:
    """A vision cache whose frames and features come in another order of the temporal grid's steps.

    The order is drawn by (seed, step, key) and is never the original one where there are two steps or more. Frames
    that share a step stay together, so that a tower sees from the frames what the features say.
    """

    def __init__(self, cache: VisionCache, seed: int, step: int) -> None:
        self._cache = cache
        self._place = f"{seed}/{step}"
        self.has_features = cache.has_features

    def frames(self, key: str) -> Tensor:
        """Frames uint8 (T, H, W, 3)."""
        return self._shuffled(key, self._cache.frames(key))

    def features(self, key: str) -> Tensor:
        """Features (t·h·w / merge², hidden)."""
        return self._shuffled(key, self._cache.features(key))

    def grid(self, key: str) -> tuple[int, int, int]:
        """Grid (t, h, w) in patches."""
        return self._cache.grid(key)

    def _shuffled(self, key: str, tensor: Tensor) -> Tensor:
        order = shuffled_order(self.grid(key)[0], f"{self._place}/{key}")
        return tensor.unflatten(0, (len(order), -1))[order].flatten(0, 1)


def shuffled_order(count: int, place: str) -> list[int]:
    """A permutation of `range(count)` drawn by `place`: not the identity, unless it is the only one."""
    source, order = random.Random(place), list(range(count))
    while count > 1 and order == sorted(order):
        source.shuffle(order)
    return order
