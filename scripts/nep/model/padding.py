"""Sequences as a batch, padded on the right: under a causal mask no real token sees a pad."""

from collections.abc import Sequence

import torch
from torch import Tensor


def pad_rows(rows: Sequence[Tensor], value: int) -> Tensor:
    """(L_i,) sequences as (B, max L_i), padded on the right."""
    return torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True, padding_value=value)


def pad_positions(positions: Sequence[Tensor]) -> Tensor:
    """(3, L_i) positions as (3, B, max L_i), or (1, L_i) ones as (B, max L_i); pads get position 0."""
    padded = torch.nn.utils.rnn.pad_sequence([item.T for item in positions], batch_first=True).permute(2, 0, 1)
    return padded[0] if padded.shape[0] == 1 else padded
