"""Which samples a step trains on, and how they become padded micro-batches.

Both are functions of (seed, step) alone: a resumed run, and every process, works them out again. Sequences are padded
on the right under a causal mask, so that no real token sees a pad or another sample; sorting by length keeps the pads
few. All processes get equally many micro-batches, as ZeRO's collectives need; one left without samples gets an empty
list.
"""

import itertools
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

from nep.train.samples import Sample
from nep.train.visual import Visuals

Item = TypeVar("Item")


def epoch_order(count: int, seed: int, epoch: int) -> list[int]:
    """A permutation of `range(count)` drawn by (seed, epoch)."""
    order = list(range(count))
    random.Random(f"{seed}/{epoch}").shuffle(order)
    return order


def draw(count: int, per_step: int, seed: int, step: int) -> list[int]:
    """Indices of step `step` (from 0) of an endless pass over `range(count)`, each epoch in its own order."""
    positions = range(step * per_step, (step + 1) * per_step)
    orders = {epoch: epoch_order(count, seed, epoch) for epoch in {position // count for position in positions}}
    return [orders[position // count][position % count] for position in positions]


def micro_batch_count(items: int, size: int, ranks: int) -> int:
    """How many micro-batches of `size` items at most each of `ranks` processes needs for `items` items in all."""
    return max(1, -(-items // (ranks * size)))


def deal(items: Sequence[Item], count: int, length: Callable[[Item], int]) -> list[list[Item]]:
    """`items` in `count` chunks, similar lengths together; sizes differ by one at most, and may be 0."""
    ordered = sorted(items, key=length, reverse=True)
    bounds = [len(ordered) * index // count for index in range(count + 1)]
    return [ordered[start:stop] for start, stop in itertools.pairwise(bounds)]


@dataclass(frozen=True)
class MicroBatch:
    """Model inputs, and the tokens that the kept logits predict.

    Attributes:
        inputs: keyword arguments of the model's forward.
        targets: (N,) int64, in the row-major order of `inputs["logits_to_keep"]`.
    """

    inputs: dict[str, Any]
    targets: Tensor


def sft_micro_batch(samples: Sequence[Sample], visuals: Visuals, pad: int, device: torch.device) -> MicroBatch:
    """Right-padded samples (B, L) with logits kept where the next token is labelled."""
    tokens = pad_rows([sample.input_ids for sample in samples], pad)
    keep = torch.zeros(tokens.shape, dtype=torch.bool)
    for row, sample in enumerate(samples):
        keep[row, sample.prompt_length - 1 : len(sample) - 1] = True
    inputs = {
        "input_ids": tokens.to(device),
        "position_ids": pad_positions([sample.position_ids for sample in samples]).to(device),
        "logits_to_keep": keep.to(device),
        **visuals.inputs([key for sample in samples for key in sample.video_keys]),
    }
    return MicroBatch(inputs=inputs, targets=tokens[:, 1:][keep[:, :-1]].to(device))


def pad_rows(rows: Sequence[Tensor], value: int) -> Tensor:
    """(L_i,) sequences as (B, max L_i), padded on the right."""
    return torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True, padding_value=value)


def pad_positions(positions: Sequence[Tensor]) -> Tensor:
    """(3, L_i) positions as (3, B, max L_i), or (1, L_i) ones as (B, max L_i); pads get position 0."""
    padded = torch.nn.utils.rnn.pad_sequence([item.T for item in positions], batch_first=True).permute(2, 0, 1)
    return padded[0] if padded.shape[0] == 1 else padded
