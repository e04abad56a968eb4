"""Log-probabilities and entropies of the distribution that is sampled from."""

import torch
from torch import Tensor


def policy_logits(logits: Tensor, banned: Tensor, temperature: float) -> Tensor:
    """Logits of the distribution that is sampled from: divided by `temperature`, `banned` (V,) tokens impossible.

    (…, V) in any float type, result fp32. Sampling and update share it, so that log-probs are those of the same policy.
    """
    return (logits.float() / temperature).masked_fill(banned, torch.finfo(torch.float32).min)


def token_log_probs(logits: Tensor, tokens: Tensor) -> Tensor:
    """Log-probability of `tokens` (…) under `logits` (…, V)."""
    return logits.log_softmax(dim=-1).gather(-1, tokens[..., None])[..., 0]


def token_entropies(logits: Tensor) -> Tensor:
    """Entropy in nats of each distribution of `logits` (…, V)."""
    log_probs = logits.log_softmax(dim=-1)
    return -(log_probs.exp() * log_probs).sum(dim=-1)
