"""Log-probabilities of given tokens: vocabulary-wide logits exist for a few of them at a time."""

from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

from nep.model.attention import use_packed_attention
from nep.model.log_probs import policy_logits, token_entropies, token_log_probs

# 1,024 rows of 152k fp32 logits take 0.6 GB.
CHUNK = 1024


class Policy(Protocol):
    """How tokens are sampled: tokens that cannot be, (V,) bool, and the temperature of the softmax."""

    banned: Tensor
    temperature: float


class Scorer(nn.Module):
    """A vision-language model whose forward gives scores of labelled tokens instead of logits."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        # Another attention would ignore the packing of a row, and let its sequences see each other.
        use_packed_attention(model)
        self.model = model

    def forward(self, inputs: Mapping[str, Any], rows: Tensor, targets: Tensor, policy: Policy | None = None) -> Tensor:
        """(1, N) fp32: log-probability of each target (N,) after its place in `rows`; with `policy`, (2, N).

        Under a policy the distribution is the one that it samples from, and the second row its entropy in nats.
        Several chunks are computed again in the backward pass.
        """
        hidden = self.model.model(**inputs, use_cache=False).last_hidden_state[0, rows]
        pieces = list(zip(hidden.split(CHUNK), targets.split(CHUNK), strict=True))
        if len(pieces) == 1:
            return self._score(hidden, targets, policy)
        scored = [checkpoint(self._score, *piece, policy, use_reentrant=False) for piece in pieces]
        return torch.cat(scored, dim=1)

    def _score(self, hidden: Tensor, targets: Tensor, policy: Policy | None) -> Tensor:
        logits = self.model.get_output_embeddings()(hidden)
        if policy is None:
            return -F.cross_entropy(logits.float(), targets, reduction="none")[None]
        logits = policy_logits(logits, policy.banned, policy.temperature)
        return torch.stack([token_log_probs(logits, targets), token_entropies(logits)])
