"""A prompt and its completions in one row: the prompt is computed once, and each completion sees it and itself only.

Row of a group: `prompt | completion 1 | completion 2 | … | pads`. Every completion goes on from the prompt's last
rotary position. The last token of a completion is predicted but never fed. Exact: log-probs and gradients equal those
of the separate sequences, with G(P+R)/(P+GR) times fewer tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nep.train.batches import MicroBatch, pad_positions, pad_rows
from nep.train.samples import Sample
from nep.train.visual import Visuals

PROMPT_SEGMENT = -1
PAD_SEGMENT = -2


@dataclass(frozen=True)
class Group:
    """One prompt, its completions (each (R,) int64 with R ≥ 1) and their advantages, (G,) fp32."""

    prompt: Sample
    completions: list[Tensor]
    advantages: Tensor

    def __len__(self) -> int:
        return len(self.prompt) + sum(len(completion) - 1 for completion in self.completions)

    @property
    def generated(self) -> int:
        """Number of completion tokens."""
        return sum(len(completion) for completion in self.completions)


@dataclass(frozen=True)
class GroupBatch:
    """Groups as model inputs, with one entry for each of the N completion tokens.

    Attributes:
        micro: model inputs; `targets` are the completion tokens, by group, completion, place.
        rows: (N,) which of the kept logits predicts each token.
        advantages: (N,) fp32, the advantage of each token's completion.
    """

    micro: MicroBatch
    rows: Tensor
    advantages: Tensor


def group_batch(groups: Sequence[Group], visuals: Visuals, pad: int, device: torch.device) -> GroupBatch:
    """The groups as rows of one batch, padded on the right."""
    tokens = pad_rows([_row_tokens(group) for group in groups], pad)
    segments = pad_rows([_row_segments(group) for group in groups], PAD_SEGMENT)
    keep = torch.zeros(tokens.shape, dtype=torch.bool)
    rows, kept = [], 0
    for index, group in enumerate(groups):
        keep[index, len(group.prompt) - 1 : len(group)] = True
        rows.append(_predicting_rows(group, kept))
        kept += len(group) - len(group.prompt) + 1
    inputs = {
        "input_ids": tokens.to(device),
        "position_ids": pad_positions([_row_positions(group) for group in groups]).to(device),
        "attention_mask": group_mask(segments.to(device)),
        "logits_to_keep": keep.to(device),
        **visuals.inputs([key for group in groups for key in group.prompt.video_keys]),
    }
    targets = torch.cat([completion for group in groups for completion in group.completions])
    lengths = torch.tensor([len(completion) for group in groups for completion in group.completions])
    advantages = torch.cat([group.advantages for group in groups]).repeat_interleave(lengths)
    return GroupBatch(
        micro=MicroBatch(inputs=inputs, targets=targets.to(device)),
        rows=torch.cat(rows).to(device),
        advantages=advantages.to(device),
    )


def group_mask(segments: Tensor) -> Tensor:
    """(B, 1, L, L) bool, True where a query (row) may see a key: not later, and of the prompt or its own segment.

    Pads are a segment of their own, so that none of their rows is empty (an empty softmax is NaN).
    """
    places = torch.arange(segments.shape[1], device=segments.device)
    causal = places[None, :] <= places[:, None]
    keys, queries = segments[:, None, :], segments[:, :, None]
    return (causal & ((keys == PROMPT_SEGMENT) | (keys == queries)))[:, None]


def next_position(prompt: Sample) -> int:
    """Rotary position of the first token after a prompt; all dimensions share it."""
    return int(prompt.position_ids.max()) + 1


def _row_tokens(group: Group) -> Tensor:
    return torch.cat([group.prompt.input_ids, *(completion[:-1] for completion in group.completions)])


def _row_segments(group: Group) -> Tensor:
    completions = [torch.full((len(item) - 1,), index) for index, item in enumerate(group.completions)]
    return torch.cat([torch.full((len(group.prompt),), PROMPT_SEGMENT), *completions])


def _row_positions(group: Group) -> Tensor:
    start = next_position(group.prompt)
    continued = torch.cat([torch.arange(start, start + len(item) - 1) for item in group.completions])
    positions = group.prompt.position_ids
    return torch.cat([positions, continued.expand(positions.shape[0], -1)], dim=1)


def _predicting_rows(group: Group, start: int) -> Tensor:
    """Kept row `start` is the prompt's last token, which predicts every completion's first; the fed tokens follow."""
    rows, fed = [], start + 1
    for completion in group.completions:
        rows += [torch.tensor([start]), torch.arange(fed, fed + len(completion) - 1)]
        fed += len(completion) - 1
    return torch.cat(rows)
