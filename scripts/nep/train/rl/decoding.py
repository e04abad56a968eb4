"""How a token is chosen: which ones may be, which ones end a completion, and the numbers that decide."""

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel, ProcessorMixin

from nep.model.samples import Sample, end_tokens


@dataclass(frozen=True)
class Decoding:
    """How to decode.

    Attributes:
        banned: (V,) bool, tokens that cannot be sampled. ends: (V,) bool, tokens that end a completion.
        temperature: of the softmax. limit: most tokens of a completion. pad: token that fills ended completions.
    """

    banned: Tensor
    ends: Tensor
    temperature: float
    limit: int
    pad: int


def decoding_for(model: PreTrainedModel, processor: ProcessorMixin, temperature: float, limit: int) -> Decoding:
    """Decoding in which no multimodal special token, and no id beyond the tokenizer's vocabulary, can be sampled."""
    device = model.get_input_embeddings().weight.device
    size = model.get_output_embeddings().out_features
    banned = torch.zeros(size, dtype=torch.bool, device=device)
    banned[len(processor.tokenizer) :] = True
    banned[multimodal_tokens(model, processor)] = True
    ends = torch.zeros_like(banned)
    ends[sorted(end_tokens(model, processor))] = True
    pad = processor.tokenizer.pad_token_id
    return Decoding(banned=banned & ~ends, ends=ends, temperature=temperature, limit=limit, pad=pad)


def multimodal_tokens(model: PreTrainedModel, processor: ProcessorMixin) -> list[int]:
    """Ids of the visual pads and of the tokens around them, by the model's config and the tokenizer's names."""
    config = model.config.to_dict()
    configured = {value for key, value in config.items() if key.endswith("_token_id") and _is_multimodal(key)}
    named = {index for token, index in processor.tokenizer.get_added_vocab().items() if _is_multimodal(token)}
    return sorted(value for value in configured | named if isinstance(value, int))


def uniforms(seed: int, step: int, slot: int | str, prompt: Sample, completions: int, limit: int) -> Tensor:
    """(completions, limit) fp64 numbers in [0, 1) that decide a group's tokens; `slot` is its place in the step."""
    digest = hashlib.sha256(f"{seed}/{step}/{slot}/{prompt.id}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big", signed=True))
    return torch.rand(completions, limit, dtype=torch.float64, generator=generator)


def pick(logits: Tensor, draws: Tensor) -> Tensor:
    """Token of each distribution: the first whose cumulative probability is above the draw. (…, V), (…) → (…).

    V, which is no token, where the logits are not finite and there is no distribution.
    """
    cumulative = logits.double().softmax(-1).cumsum(-1)
    # Strictly above: a token of probability 0 adds nothing to the sum and is never the first.
    return torch.searchsorted(cumulative, draws[..., None] * cumulative[..., -1:], right=True)[..., 0]


def _is_multimodal(name: str) -> bool:
    return any(word in name.lower() for word in ("image", "img", "video", "vision", "audio"))
