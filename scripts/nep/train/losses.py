"""The terms of the GRPO loss, token by token; each takes and gives (N,) tensors unless it says otherwise."""

import torch
from torch import Tensor

KL_BOUND = 10.0
# Beyond it k3 is above KL_BOUND on both sides; it keeps exp finite, whose infinite gradient times 0 would be NaN.
LOG_RATIO_BOUND = 20.0


def policy_logits(logits: Tensor, banned: Tensor, temperature: float) -> Tensor:
    """Logits of the distribution that is sampled from: divided by `temperature`, `banned` (V,) tokens impossible.

    (…, V) in any float type, result fp32. Sampling and update share it, so that log-probs are those of the same policy.
    """
    return (logits.float() / temperature).masked_fill(banned, torch.finfo(torch.float32).min)


def token_log_probs(logits: Tensor, tokens: Tensor) -> Tensor:
    """Log-probability of `tokens` (N,) under `logits` (N, V)."""
    return logits.log_softmax(dim=-1).gather(-1, tokens[:, None])[:, 0]


def token_entropies(logits: Tensor) -> Tensor:
    """Entropy in nats of each distribution of `logits` (N, V)."""
    log_probs = logits.log_softmax(dim=-1)
    return -(log_probs.exp() * log_probs).sum(dim=-1)


def clipped_policy_loss(log_probs: Tensor, old_log_probs: Tensor, advantages: Tensor, clip: float) -> Tensor:
    """max(−A·ρ, −A·clip(ρ, 1−c, 1+c)) with ρ = exp(log_probs − old_log_probs). Source: PPO, arXiv 1707.06347, eq. 7."""
    ratio = (log_probs - old_log_probs).exp()
    return torch.maximum(-advantages * ratio, -advantages * ratio.clamp(1 - clip, 1 + clip))


def k3_divergence(log_probs: Tensor, reference_log_probs: Tensor) -> Tensor:
    """exp(d) − d − 1 with d = reference − policy, clamped to ±10: the k3 estimator of KL(policy ‖ reference).

    Source: Schulman, "Approximating KL divergence" (2020); DeepSeekMath, arXiv 2402.03300, eq. 4.
    """
    difference = (reference_log_probs - log_probs).clamp(-LOG_RATIO_BOUND, LOG_RATIO_BOUND)
    return (difference.exp() - difference - 1).clamp(-KL_BOUND, KL_BOUND)


def grpo_loss(
    policy_loss: Tensor, divergence: Tensor, entropies: Tensor, kl_coef: float, entropy_coef: float
) -> Tensor:
    """Policy term + kl_coef · KL − entropy_coef · H, per token."""
    return policy_loss + kl_coef * divergence - entropy_coef * entropies
