"""Rows without padding: trees of tokens one behind the other, each a prefix and the branches that go on from it.

A sample of SFT is a tree of one branch; a GRPO group, or several targets of one video, is one of several, so that what
they have in common is computed once. Exact: a branch sees the prefix and itself only and keeps its own rotary
positions, so that log-probs and gradients equal those of the separate sequences.
"""

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from nep.model.attention import packing_of
from nep.model.samples import Sample
from nep.model.visual import Visuals

Item = TypeVar("Item")


@dataclass(frozen=True)
class Branch:
    """Tokens behind a prefix.

    Attributes:
        tokens: (B,) int64, B ≥ 1; the last one is predicted but never fed.
        positions: (dimensions, B) int64 rotary positions. labels_from: place of the first labelled token.
    """

    tokens: Tensor
    positions: Tensor
    labels_from: int = 0


@dataclass(frozen=True)
class Tree:
    """A prefix, (P,) int64 tokens with (dimensions, P) positions and the cache keys of its videos, and its branches."""

    prefix: Tensor
    positions: Tensor
    video_keys: tuple[str, ...]
    branches: tuple[Branch, ...]

    def __len__(self) -> int:
        return len(self.prefix) + sum(len(branch.tokens) - 1 for branch in self.branches)

    @property
    def labelled(self) -> int:
        """Number of labelled tokens."""
        return sum(len(branch.tokens) - branch.labels_from for branch in self.branches)


@dataclass(frozen=True)
class PackedRow:
    """One row of trees.

    Attributes:
        inputs: keyword arguments of the model's forward, batch size 1.
        rows: (N,) int64, the place in the row that predicts each labelled token.
        targets: (N,) int64 labelled tokens, by tree, branch and place.
    """

    inputs: dict[str, Any]
    rows: Tensor
    targets: Tensor


def tree_of(samples: Sequence[Sample]) -> Tree:
    """Samples whose prompts are alike up to the end of their videos as one tree; what all begin with is its prefix."""
    first = samples[0]
    shared = min(common_prefix(first, sample) for sample in samples)
    branches = tuple(
        Branch(sample.input_ids[shared:], sample.position_ids[:, shared:], sample.prompt_length - shared)
        for sample in samples
    )
    return Tree(first.input_ids[:shared], first.position_ids[:, :shared], first.video_keys, branches)


def common_prefix(one: Sample, other: Sample) -> int:
    """How many tokens two samples begin with alike, at the same positions, within both prompts."""
    length = min(one.prompt_length, other.prompt_length)
    alike = (one.input_ids[:length] == other.input_ids[:length]) & (
        one.position_ids[:, :length] == other.position_ids[:, :length]
    ).all(dim=0)
    return length if alike.all() else int(alike.int().argmin())


def trees_of(samples: Sequence[Sample], limit: int) -> list[Tree]:
    """Samples that share their videos as trees of at most `limit` tokens, in the order of the first ones.

    Under another system message the same video is another sequence. Samples without a video stand alone: what they
    begin with alike is short.
    """
    groups: dict[tuple[Any, ...], list[Sample]] = {}
    for index, sample in enumerate(samples):
        shared = (sample.video_keys, *sample.input_ids[: sample.visual_end].tolist())
        groups.setdefault(shared if sample.video_keys else (index,), []).append(sample)
    return [tree for group in groups.values() for tree in split_tree(tree_of(group), limit)]


def split_tree(tree: Tree, limit: int) -> list[Tree]:
    """The tree as several with the same prefix, of at most `limit` tokens but for one of a single longer branch.

    A limit of 1 gives each branch a sequence of its own, for models that cannot share a prefix.
    """
    parts: list[list[Branch]] = []
    room = 0
    for branch in tree.branches:
        fed = len(branch.tokens) - 1
        if not parts or fed > room:
            parts.append([])
            room = limit - len(tree.prefix)
        parts[-1].append(branch)
        room -= fed
    return [replace(tree, branches=tuple(part)) for part in parts]


def pack_row(trees: Sequence[Tree], visuals: Visuals, packs: bool, device: torch.device) -> PackedRow:
    """The trees as one row; where the model does not pack, it must be one tree of one branch."""
    fed = [[tree.prefix, *(branch.tokens[:-1] for branch in tree.branches)] for tree in trees]
    places = [[tree.positions, *(branch.positions[:, :-1] for branch in tree.branches)] for tree in trees]
    positions = torch.cat([piece for pieces in places for piece in pieces], dim=1)
    inputs = {
        "input_ids": torch.cat([piece for pieces in fed for piece in pieces])[None].to(device),
        "position_ids": (positions if len(positions) == 1 else positions[:, None]).to(device),
        **visuals.inputs([key for tree in trees for key in tree.video_keys]),
    }
    if packs:
        branches = [[len(piece) for piece in pieces[1:]] for pieces in fed]
        inputs["packing"] = packing_of([len(tree.prefix) for tree in trees], branches, device)
    elif len(trees) > 1 or len(trees[0].branches) > 1:
        raise ValueError("several sequences in one row, for a model whose layers carry state between them")
    starts = torch.tensor([0, *(len(tree) for tree in trees)]).cumsum(0).tolist()
    rows = [piece for tree, start in zip(trees, starts, strict=False) for piece in _predicting(tree, start)]
    targets = [branch.tokens[branch.labels_from :] for tree in trees for branch in tree.branches]
    return PackedRow(inputs, torch.cat(rows).to(device), torch.cat(targets).to(device))


def pack_bins(items: Sequence[Item], ranks: int, limit: int, length: Callable[[Item], int]) -> list[list[list[Item]]]:
    """By rank, its packs: sums of lengths at most `limit` (but for a single longer item), as even as they can be made.

    All ranks get equally many packs, as ZeRO's collectives need; a pack may be empty.
    """
    ordered = sorted(items, key=length, reverse=True)
    fewest = -(-sum(map(length, items)) // (limit * ranks))
    most = max(1, -(-len(items) // ranks))
    for count in range(min(fewest, most), most + 1):
        packs = _evenly(ordered, max(1, count) * ranks, length)
        if all(len(pack) <= 1 or sum(map(length, pack)) <= limit for pack in packs):
            break
    return [packs[rank::ranks] for rank in range(ranks)]


def _evenly(ordered: Sequence[Item], count: int, length: Callable[[Item], int]) -> list[list[Item]]:
    """Each item, the longest first, to the shortest of `count` packs (longest processing time first)."""
    packs: list[list[Item]] = [[] for _ in range(count)]
    heap = [(0, index) for index in range(count)]
    for item in ordered:
        load, index = heapq.heappop(heap)
        packs[index].append(item)
        heapq.heappush(heap, (load + length(item), index))
    return packs


def _predicting(tree: Tree, start: int) -> list[Tensor]:
    """For each branch, the places in the row that predict its labelled tokens; `start` is the tree's first place."""
    last = start + len(tree.prefix) - 1
    rows, fed = [], last + 1
    for branch in tree.branches:
        # The prefix's last token predicts a branch's first one.
        places = torch.cat([torch.tensor([last]), torch.arange(fed, fed + len(branch.tokens) - 1)])
        rows.append(places[branch.labels_from :])
        fed += len(branch.tokens) - 1
    return rows
