"""The visual inputs of a batch: cached features where the vision side is frozen, else pixels of the cached frames."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel, ProcessorMixin

from nep.errors import InputError
from nep.model.family import Placeholder, encoder_outputs, joined, video_tensors, vision_features
from nep.model.samples import Sample
from nep.model.vision_cache import VisionCache

# Relative difference of features computed elsewhere: batch shape and thread count change the last bits.
TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 3e-2}


@dataclass(frozen=True)
class RawClip:
    """A clip as the vision cache has it.

    Attributes:
        placeholder: what stands for it in a prompt. token: id of the visual token, which is repeated there.
        features: see `vision_features`; None where the vision side is trained.
        pixels: the processor's tensors of the cached frames; None where there are features.
    """

    placeholder: Placeholder
    token: int
    features: Tensor | None
    pixels: dict[str, Tensor] | None


class Visuals:
    """Model inputs for the videos of a batch, in the order of their placeholders."""

    def __init__(
        self, cache: VisionCache, processor: ProcessorMixin, freeze: Collection[str], device: torch.device
    ) -> None:
        self._cache = cache
        self._processor = processor
        self._device = device
        frozen = {"vision_tower", "projector"} <= set(freeze)
        self._from_features = frozen and cache.has_features

    def inputs(self, keys: Sequence[str]) -> dict[str, Any]:
        """Keyword arguments for the model's forward; empty for a batch of text only."""
        if not keys:
            return {}
        if self._from_features:
            features = [self._cache.features(key).to(self._device) for key in keys]
            return encoder_outputs(features, self._cache.placeholder(keys[0]))
        return {name: value.to(self._device) for name, value in joined([self._pixels(key) for key in keys]).items()}

    @property
    def from_features(self) -> bool:
        """Whether videos come as features, and the model's vision side is not asked."""
        return self._from_features

    def clip(self, key: str) -> RawClip:
        """A clip for an engine that makes its model's inputs itself."""
        placeholder = self._cache.placeholder(key)
        if self._from_features:
            return RawClip(placeholder, placeholder.token_id(self._processor), self._cache.features(key), None)
        return RawClip(placeholder, placeholder.token_id(self._processor), None, self._pixels(key))

    def tokens(self, key: str) -> int:
        """How many visual tokens a video takes."""
        return self._cache.placeholder(key).tokens

    @torch.no_grad()
    def check(self, model: PreTrainedModel, samples: Sequence[Sample]) -> None:
        """Raise InputError if the cached features of the first clip are not those of this model's vision side."""
        keys = [key for sample in samples for key in sample.video_keys]
        if not self._from_features or not keys:
            return
        key = keys[0]
        (computed,) = vision_features(model, [self._pixels(key)], self._cache.placeholder(key).modality)
        cached = self._cache.features(key).to(computed)
        bound = TOLERANCE[self._cache.features(key).dtype] + TOLERANCE[computed.dtype]
        if cached.shape != computed.shape or (cached - computed).norm() > bound * computed.norm():
            raise InputError(
                f"vision cache, clip {key!r}: its cached features do not match this model's vision tower; "
                "encode again with it, or set encode.features to false where the tower has been trained"
            )

    def _pixels(self, key: str) -> dict[str, Tensor]:
        return video_tensors(self._processor, self._cache.frames(key), self._cache.placeholder(key).modality)
