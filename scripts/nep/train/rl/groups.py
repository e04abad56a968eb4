"""A prompt and its completions as one tree: the prompt is computed once, and each completion sees it and itself only.

Every completion goes on from the prompt's last rotary position. With G completions of R tokens behind P, that is
G(P+R)/(P+GR) times fewer tokens than in separate sequences.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nep.model.packing import Branch, Tree
from nep.model.samples import Sample


@dataclass(frozen=True)
class Group:
    """One prompt, its completions (each (R,) int64 with R ≥ 1) and their advantages, (G,) fp32.

    `engine_log_probs` are those of the engine that sampled, (R,) fp32 each, where that is another program.
    """

    prompt: Sample
    completions: list[Tensor]
    advantages: Tensor
    engine_log_probs: list[Tensor] | None = None

    def __len__(self) -> int:
        return len(self.prompt) + sum(len(completion) - 1 for completion in self.completions)

    @property
    def generated(self) -> int:
        """Number of completion tokens."""
        return sum(len(completion) for completion in self.completions)

    def tree(self) -> Tree:
        """The prompt as prefix, every completion a branch whose tokens are all labelled."""
        start, dimensions = next_position(self.prompt), len(self.prompt.position_ids)
        branches = tuple(
            Branch(tokens, torch.arange(start, start + len(tokens)).expand(dimensions, -1))
            for tokens in self.completions
        )
        return Tree(self.prompt.input_ids, self.prompt.position_ids, self.prompt.video_keys, branches)


def completion_numbers(lengths: Sequence[int]) -> Tensor:
    """(N,) int64: the number 0, 1, … of each token's completion."""
    return torch.arange(len(lengths)).repeat_interleave(torch.tensor(lengths))


def next_position(prompt: Sample) -> int:
    """Rotary position of the first token after a prompt; all dimensions share it."""
    return int(prompt.position_ids.max()) + 1
