"""Attention over packed rows: each token sees its own sequence only, and nothing is computed between sequences.

Registered with transformers as an attention implementation of its own, because a dense mask over a row of many
sequences would cost the square of the row. Without a packing it is SDPA: prefill and decoding use the same model.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention.flex_attention import BlockMask, create_block_mask
from transformers import AttentionInterface, AttentionMaskInterface, PretrainedConfig, PreTrainedModel
from transformers.integrations.flex_attention import compile_friendly_flex_attention
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

ATTENTION = "packed"
# Queries whose block mask is made at once, a multiple of its blocks of 128: made for all 16,384 of a row together, it
# takes 2.6 GB for a moment.
MASK_ROWS = 1024


@dataclass(frozen=True)
class Packing:
    """Which tokens of a row see each other.

    Attributes:
        lengths: of the trees. masks: for each, (1, 1, L, L) bool where it has several branches, else None (causal).
        block_mask: the same for a whole row, on CUDA; else None.
    """

    lengths: tuple[int, ...]
    masks: tuple[Tensor | None, ...]
    block_mask: BlockMask | None


def packing_of(prefixes: Sequence[int], branches: Sequence[Sequence[int]], device: torch.device) -> Packing:
    """The packing of a row of trees: lengths of their prefixes, and of the branches that follow each."""
    trees = list(zip(prefixes, branches, strict=True))
    lengths = tuple(prefix + sum(parts) for prefix, parts in trees)
    if device.type == "cuda":
        return Packing(lengths, (None,) * len(lengths), _block_mask(prefixes, branches, device))
    return Packing(lengths, tuple(tree_mask(*tree) if len(tree[1]) > 1 else None for tree in trees), None)


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
    """An attention function of transformers: (B, heads, L, d) inputs, (B, L, heads, d) output.

    A mask, (B, 1, L, K) bool, comes with the steps of decoding.
    """
    if packing is None:
        if attention_mask is not None:
            return grouped_attention(query, key, value, attention_mask, options["scaling"]), None
        return sdpa_attention_forward(module, query, key, value, attention_mask, **options)
    if packing.block_mask is not None:
        return _flex_attention(query, key, value, packing.block_mask, options["scaling"], module.training), None
    # Split, not sliced: the gradient of each slice would be as large as the row.
    parts = [tensor.split(packing.lengths, dim=2) for tensor in (query, key, value)]
    outputs = [
        sdpa_attention_forward(module, *tree, mask, **options)[0]
        for *tree, mask in zip(*parts, packing.masks, strict=True)
    ]
    return torch.cat(outputs, dim=1), None


def can_pack(config: PretrainedConfig) -> bool:
    """Whether every layer of the language model is full attention: others carry state from one sequence to the next."""
    text = config.get_text_config()
    if getattr(text, "layer_types", None) is None and getattr(text, "sliding_window", None):
        return False
    return set(getattr(text, "layer_types", None) or ["full_attention"]) == {"full_attention"}


def use_packed_attention(model: PreTrainedModel) -> None:
    """Make the language model of a vision-language model understand packings, where it can; the others keep SDPA."""
    if can_pack(model.config):
        model.set_attn_implementation({"text_config": ATTENTION})


def grouped_attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scaling: float) -> Tensor:
    """Masked attention, (B, L, heads, d), of as many heads of keys as of queries or fewer.

    The heads of queries that share one of keys stand in one row of it. transformers would write the whole cache once
    more for each of them, each step.
    """
    batch, heads, length, size = query.shape
    groups = heads // key.shape[1]
    rows = query.reshape(batch, key.shape[1], groups * length, size)
    attend = masked_products if query.is_cuda else functional.scaled_dot_product_attention
    output = attend(rows, key, value, attn_mask=mask.repeat(1, 1, groups, 1), scale=scaling)
    return output.reshape(batch, heads, length, size).transpose(1, 2).contiguous()


def _flex_attention(
    query: Tensor, key: Tensor, value: Tensor, block_mask: BlockMask, scaling: float, training: bool
) -> Tensor:
    """Compiled flex attention, (B, L, heads, d).

    Not transformers' `flex_attention_forward`, which repeats keys and values for each head of the queries unless there
    are 2, 4, 8, … heads. Only torch's kernel for short queries asks for that (inductor/kernel/flex/flex_decoding.py,
    `_use_flex_decoding`), and the other one is taken where it is not so.
    """
    output = compile_friendly_flex_attention(
        query, key, value, training=training, block_mask=block_mask, scale=scaling, enable_gqa=True
    )
    return output.transpose(1, 2).contiguous()


def masked_products(query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor, scale: float) -> Tensor:
    """SDPA of few queries, (B, heads, L, d), as two matrix products and a softmax in fp32.

    On CUDA SDPA with a mask is a kernel of L / 64 × heads × B blocks (PyTorch, mem_eff_attention/kernel_forward.h,
    getBlocksGrid), 8 for two prompts and four heads of keys: a sixteenth of an H200. The products share the keys out.
    """
    scores = (query @ key.transpose(-1, -2)).float() * scale
    weights = scores.masked_fill(~attn_mask, -torch.inf).softmax(-1)
    return weights.to(value.dtype) @ value


def _segments(prefix: int, branches: Sequence[int]) -> Tensor:
    """(L,) int64: 0 for the prefix, 1, 2, … for the branches."""
    counts = torch.tensor([prefix, *branches])
    return torch.arange(len(counts)).repeat_interleave(counts)


def _block_mask(prefixes: Sequence[int], branches: Sequence[Sequence[int]], device: torch.device) -> BlockMask:
    parts = [_segments(prefix, lengths) for prefix, lengths in zip(prefixes, branches, strict=True)]
    trees = torch.arange(len(parts)).repeat_interleave(torch.tensor([len(part) for part in parts])).to(device)
    segments = torch.cat(parts).to(device)
    length = len(segments)

    def sees(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        own = (segments[key] == 0) | (segments[key] == segments[query])
        return (query >= key) & (trees[query] == trees[key]) & own

    def piece(start: int) -> BlockMask:
        def sees_from_start(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
            return sees(batch, head, query + start, key)

        return create_block_mask(sees_from_start, None, None, min(MASK_ROWS, length - start), length, device=device)

    pieces = [piece(start) for start in range(0, length, MASK_ROWS)]
    blocks = [
        torch.cat([getattr(piece, name) for piece in pieces], dim=2)
        for name in ("kv_num_blocks", "kv_indices", "full_kv_num_blocks", "full_kv_indices")
    ]
    return BlockMask.from_kv_blocks(*blocks, mask_mod=sees, seq_lengths=(length, length))


AttentionInterface.register(ATTENTION, packed_attention)
AttentionMaskInterface.register(ATTENTION, sdpa_mask)
