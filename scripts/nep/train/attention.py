"""Attention over packed rows: each token sees its own sequence only, and nothing is computed between sequences.

Registered with transformers as an attention implementation of its own, because a dense mask over a row of many
sequences would cost the square of the row. Without a packing it is SDPA: prefill and decoding use the same model.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention.flex_attention import BlockMask, create_block_mask
from transformers import AttentionInterface, PretrainedConfig
from transformers.integrations.flex_attention import flex_attention_forward
from transformers.integrations.sdpa_attention import sdpa_attention_forward

ATTENTION = "packed"


@dataclass(frozen=True)
class Packing:
    """Which tokens of a row see each other.

    Attributes:
        spans: (start, stop) of each tree. masks: for each, (1, 1, L, L) bool where it has several branches, else None
            (causal). block_mask: the same for a whole row, on CUDA; else None.
    """

    spans: tuple[tuple[int, int], ...]
    masks: tuple[Tensor | None, ...]
    block_mask: BlockMask | None


def packing_of(prefixes: Sequence[int], branches: Sequence[Sequence[int]], device: torch.device) -> Packing:
    """The packing of a row of trees: lengths of their prefixes, and of the branches that follow each."""
    lengths = [prefix + sum(parts) for prefix, parts in zip(prefixes, branches, strict=True)]
    stops = torch.tensor(lengths).cumsum(0).tolist()
    spans = tuple((stop - length, stop) for stop, length in zip(stops, lengths, strict=True))
    if device.type == "cuda":
        return Packing(spans, (None,) * len(spans), _block_mask(prefixes, branches, device))
    trees = zip(prefixes, branches, strict=True)
    return Packing(spans, tuple(tree_mask(*tree) if len(tree[1]) > 1 else None for tree in trees), None)


def tree_mask(prefix: int, branches: Sequence[int]) -> Tensor:
    """(1, 1, L, L) bool, True where a query (row) may see a key: not later, and of the prefix or its own branch."""
    segments = _segments(prefix, branches)
    causal = torch.ones(len(segments), len(segments), dtype=torch.bool).tril()
    return (causal & ((segments[None, :] == 0) | (segments[None, :] == segments[:, None])))[None, None]


def packed_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    packing: Packing | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    """An attention function of transformers: (B, heads, L, d) inputs, (B, L, heads, d) output."""
    if packing is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **options)
    if packing.block_mask is not None:
        return flex_attention_forward(module, query, key, value, packing.block_mask, **options)[0], None
    outputs = [
        sdpa_attention_forward(
            module, query[:, :, start:stop], key[:, :, start:stop], value[:, :, start:stop], mask, **options
        )[0]
        for (start, stop), mask in zip(packing.spans, packing.masks, strict=True)
    ]
    return torch.cat(outputs, dim=1), None


def can_pack(config: PretrainedConfig) -> bool:
    """Whether every layer of the language model is full attention: others carry state from one sequence to the next."""
    text = config.get_text_config()
    return set(getattr(text, "layer_types", None) or ["full_attention"]) == {"full_attention"}


def implementations(config: PretrainedConfig) -> dict[str, str]:
    """The `attn_implementation` of a vision-language model: packed in the language model, SDPA in the others."""
    names = dict.fromkeys(config.sub_configs, "sdpa")
    return {"": "sdpa", **names, "text_config": ATTENTION} if can_pack(config) else {"": "sdpa", **names}


def _segments(prefix: int, branches: Sequence[int]) -> Tensor:
    """(L,) int64: 0 for the prefix, 1, 2, … for the branches."""
    counts = torch.tensor([prefix, *branches])
    return torch.arange(len(counts)).repeat_interleave(counts)


def _block_mask(prefixes: Sequence[int], branches: Sequence[Sequence[int]], device: torch.device) -> BlockMask:
    parts = [_segments(prefix, lengths) for prefix, lengths in zip(prefixes, branches, strict=True)]
    trees = torch.arange(len(parts)).repeat_interleave(torch.tensor([len(part) for part in parts])).to(device)
    segments = torch.cat(parts).to(device)

    def sees(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        own = (segments[key] == 0) | (segments[key] == segments[query])
        return (query >= key) & (trees[query] == trees[key]) & own

    return create_block_mask(sees, None, None, len(segments), len(segments), device=device)


AttentionInterface.register(ATTENTION, packed_attention)
