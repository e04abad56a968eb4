"""Completions from the trainer's own weights: prompts in; tokens, log-probs and finished flags out.

1. One prefill of all prompts, padded on the right (causal attention: no real token sees a pad).
2. Decode steps over `sequences`; a prompt whose completions have all ended leaves the batch.
3. A token is drawn by inverting the cumulative distribution at a uniform number fixed beforehand by (seed, step,
   prompt), so that a completion depends neither on the batch around it nor on the number of processes.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from nep.model.attention import can_pack
from nep.model.log_probs import policy_logits, token_entropies, token_log_probs
from nep.model.samples import Sample
from nep.model.visual import Visuals
from nep.train.rl.decoding import Decoding, pick
from nep.train.rl.kv_cache import CudaGraphCache, PerSequenceCache, Sequences, SharedPromptCache


@dataclass(frozen=True)
class Completion:
    """What the model said to one prompt.

    Attributes:
        tokens: (R,) int64, R ≥ 1, with the end token where there is one.
        log_probs: (R,) fp32, of the distribution sampled from (temperature and banned tokens applied).
        entropies: (R,) fp32, nats, of that distribution; of an engine without them, `-log_probs`, whose mean
            estimates it.
        finished: whether it ends with an end token, and not at the limit.
    """

    tokens: Tensor
    log_probs: Tensor
    entropies: Tensor
    finished: bool


class RolloutEngine(ABC):
    """All that a training run asks of what writes completions: prompts in; tokens and log-probs out.

    One that reads the weights where they are has nothing to do at `renew`, `rest` and `close`.
    """

    @abstractmethod
    def __call__(
        self, model: PreTrainedModel, prompts: Sequence[Sample], visuals: Visuals, draws: Tensor | None
    ) -> list[list[Completion]]:
        """Completions of each prompt: sampled by `draws` (B, n, limit), or one greedy completion where it is None."""

    def renew(self, version: int) -> None:  # noqa: B027
        """The model that is handed over has the weights of this version from now on."""

    def rest(self) -> None:  # noqa: B027
        """No rollouts for a while: what only they need of a shared GPU is given back."""

    def close(self) -> None:  # noqa: B027
        """No more rollouts."""


class Rollout(RolloutEngine):
    """The engine on the trainer's own weights."""

    def __init__(self, decoding: Decoding, captured: bool) -> None:
        """`captured`: decode in buffers of fixed size, by a captured graph where the model is on CUDA."""
        self._decoding = decoding
        self._captured = captured
        self._rows: CudaGraphCache | None = None

    @torch.no_grad()
    def __call__(
        self, model: PreTrainedModel, prompts: Sequence[Sample], visuals: Visuals, draws: Tensor | None
    ) -> list[list[Completion]]:
        """See `RolloutEngine`."""
        width = 1 if draws is None else draws.shape[1]
        if can_pack(model.config):
            return _decode(self._shared_rows(model, prompts, width, visuals), self._decoding, draws)
        groups = []
        for index, prompt in enumerate(prompts):
            rows = PerSequenceCache(model, prompt, width, visuals, self._decoding.pad)
            completions = _decode(rows, self._decoding, None if draws is None else draws[index][:, None])
            groups.append([completion for (completion,) in completions])
        return groups

    def _shared_rows(
        self, model: PreTrainedModel, prompts: Sequence[Sample], width: int, visuals: Visuals
    ) -> SharedPromptCache | CudaGraphCache:
        if not self._captured:
            return SharedPromptCache(model, prompts, width, visuals, self._decoding.pad)
        shape = (len(prompts), width, CudaGraphCache.length_for(prompts, width, self._decoding.limit))
        if self._rows is None or not self._rows.fits(model, *shape):
            # The old buffers go before the new ones come.
            self._rows = None
            self._rows = CudaGraphCache(model, *shape)
        self._rows.start(prompts, visuals, self._decoding.pad)
        return self._rows


def _decode(sequences: Sequences, decoding: Decoding, draws: Tensor | None) -> list[list[Completion]]:
    logits = sequences.first
    shape = (*logits.shape[:2], decoding.limit)
    tokens = torch.full(shape, decoding.pad, device=logits.device)
    log_probs, entropies = (torch.zeros(shape, device=logits.device) for _ in range(2))
    draws = None if draws is None else draws.to(logits.device)
    every = torch.arange(shape[0], device=logits.device)
    # All of them, which needs no writing by index, until one leaves.
    rows: slice | Tensor = slice(None)
    alive = torch.ones(shape[:2], dtype=torch.bool, device=logits.device)
    for place in range(decoding.limit):
        logits = policy_logits(logits, decoding.banned, decoding.temperature)
        chosen = logits.argmax(-1) if draws is None else pick(logits, draws[rows, :, place])
        # Nothing can be drawn from NaN. Its log-prob is NaN for any token, which the step will be left out for.
        chosen = chosen.where(chosen < logits.shape[-1], decoding.pad)
        tokens[rows, :, place] = chosen
        log_probs[rows, :, place] = token_log_probs(logits, chosen)
        entropies[rows, :, place] = token_entropies(logits)
        alive = alive & ~decoding.ends[chosen]
        going = alive.any(-1)
        # One look at the device a step.
        count = int(going.sum())
        if place + 1 == decoding.limit or count == 0:
            break
        if count < len(going) and sequences.keep(going):
            rows, alive, chosen = every[rows][going], alive[going], chosen[going]
        logits = sequences.feed(chosen.where(alive, decoding.pad), place)
    return _completions(tokens, log_probs, entropies, decoding.ends)


def _completions(tokens: Tensor, log_probs: Tensor, entropies: Tensor, ends: Tensor) -> list[list[Completion]]:
    """Cut (B, n, T) tokens after the first end token of each completion."""
    tokens, log_probs, entropies, ended = tokens.cpu(), log_probs.cpu(), entropies.cpu(), ends[tokens].cpu()
    finished = ended.any(-1)
    lengths = torch.where(finished, ended.int().argmax(-1) + 1, tokens.shape[-1])
    return [
        [
            Completion(
                tokens=tokens[row, column, : lengths[row, column]],
                log_probs=log_probs[row, column, : lengths[row, column]],
                entropies=entropies[row, column, : lengths[row, column]],
                finished=bool(finished[row, column]),
            )
            for column in range(tokens.shape[1])
        ]
        for row in range(tokens.shape[0])
    ]
