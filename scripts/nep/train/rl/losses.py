"""The GRPO loss and its variants: small functions over the completion tokens of a micro-batch.

Each takes and gives (N,) tensors unless it says otherwise. `token_losses` puts together what the recipe names;
`normalised` makes one number of it.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from nep.config.grpo import Grpo, KlName, LossMean
from nep.train.rl.mismatch import Sampled, completion_sums, weights

KL_BOUND = 10.0
# Beyond it k3 is above KL_BOUND on both sides; it keeps exp finite, whose infinite gradient times 0 would be NaN.
LOG_RATIO_BOUND = 20.0


@dataclass(frozen=True)
class CompletionTokens:
    """What a loss may know of N completion tokens; log-probs and entropies are of the distribution sampled from.

    Attributes:
        log_probs: (N,) under the policy, with gradient. old_log_probs: (N,) under the weights that sampled.
        reference_log_probs: (N,) under the start model; None where the KL coefficient is 0.
        entropies: (N,) nats, with gradient; None where the entropy coefficient is 0.
        advantages: (N,), those of each token's completion.
        completion: (N,) int64, number of each token's completion: 0, 1, … without gaps.
        engine_log_probs: (N,) under the engine that sampled, where that is another program than the trainer.
    """

    log_probs: Tensor
    old_log_probs: Tensor
    reference_log_probs: Tensor | None
    entropies: Tensor | None
    advantages: Tensor
    completion: Tensor
    engine_log_probs: Tensor | None = None

    def sampled(self) -> Sampled:
        """The tokens as the engine has sampled them; for batches with its log-probs."""
        return Sampled(self.old_log_probs, self.engine_log_probs, self.completion)


@dataclass(frozen=True)
class StepTotals:
    """What the loss of a whole step is divided by: its tokens, its completions, and the longest possible completion."""

    tokens: float
    completions: int
    limit: int


def token_losses(batch: CompletionTokens, grpo: Grpo) -> tuple[Tensor, Tensor]:
    """Loss of each token, policy term + kl_coef · KL − entropy_coef · H, and its KL (zeros without a reference).

    With `mismatch` the policy term alone is weighted, as in verl: KL and entropy are those of the trainer.
    """
    losses = clipped_policy_loss(
        RATIOS[grpo.ratio](batch), batch.advantages, grpo.clip_low, grpo.clip_high, grpo.dual_clip
    )
    if grpo.mismatch is not None:
        losses = losses * weights(batch.sampled(), grpo.mismatch)
    divergence = torch.zeros_like(batch.log_probs)
    if batch.reference_log_probs is not None:
        divergence = DIVERGENCES[grpo.kl](batch.log_probs, batch.reference_log_probs)
        losses = losses + grpo.kl_coef * divergence
    if batch.entropies is not None:
        losses = losses - grpo.entropy_coef * batch.entropies
    return losses, divergence


def token_ratio(batch: CompletionTokens) -> Tensor:
    """ρ = exp(log π − log π_old) of each token. Source: PPO, arXiv 1707.06347, section 3."""
    return (batch.log_probs - batch.old_log_probs).exp()


def sequence_ratio(batch: CompletionTokens) -> Tensor:
    """exp of the mean log-ratio of each token's completion, with its gradient. Source: GSPO, arXiv 2507.18071, eq. 7.

    It stays far nearer to 1 than a token's: the published range of the clip is 3e-4 below and 4e-4 above.
    """
    log_ratios = completion_means(batch.log_probs - batch.old_log_probs, batch.completion)
    return log_ratios.exp()[batch.completion]


RATIOS: dict[str, Callable[[CompletionTokens], Tensor]] = {"token": token_ratio, "sequence": sequence_ratio}


def clipped_policy_loss(ratio: Tensor, advantages: Tensor, low: float, high: float, dual: float | None) -> Tensor:
    """max(−A·ρ, −A·clip(ρ, 1 − low, 1 + high)); where A < 0 and `dual` is given, −dual·A at most.

    Sources: PPO, arXiv 1707.06347, eq. 7; low and high apart: DAPO, arXiv 2503.14476, eq. 10; dual clip: arXiv
    1912.09729, eq. 8.
    """
    loss = torch.maximum(-advantages * ratio, -advantages * ratio.clamp(1 - low, 1 + high))
    if dual is None:
        return loss
    return torch.where(advantages < 0, torch.minimum(loss, -dual * advantages), loss)


def k1_divergence(log_probs: Tensor, reference_log_probs: Tensor) -> Tensor:
    """Policy − reference: the unbiased estimator of KL(policy ‖ reference). Source: Schulman (2020), see `k3`."""
    return log_probs - reference_log_probs


def k2_divergence(log_probs: Tensor, reference_log_probs: Tensor) -> Tensor:
    """Half the squared difference. Source: Schulman (2020), see `k3_divergence`."""
    return (log_probs - reference_log_probs).square() / 2


def k3_divergence(log_probs: Tensor, reference_log_probs: Tensor) -> Tensor:
    """exp(d) − d − 1 with d = reference − policy, clamped to ±10: the k3 estimator of KL(policy ‖ reference).

    Source: Schulman, "Approximating KL divergence" (2020); DeepSeekMath, arXiv 2402.03300, eq. 4.
    """
    difference = (reference_log_probs - log_probs).clamp(-LOG_RATIO_BOUND, LOG_RATIO_BOUND)
    return (difference.exp() - difference - 1).clamp(-KL_BOUND, KL_BOUND)


DIVERGENCES: dict[KlName, Callable[[Tensor, Tensor], Tensor]] = {
    "k1": k1_divergence,
    "k2": k2_divergence,
    "k3": k3_divergence,
}


def normalised(losses: Tensor, completion: Tensor, mean: LossMean, totals: StepTotals) -> Tensor:
    """A micro-batch's share of the step's loss; the shares of all micro-batches and processes add up to it.

    `token`: mean over all tokens (DAPO, arXiv 2503.14476, eq. 8). `sequence`: mean over the tokens of each completion,
    then over completions (DeepSeekMath, arXiv 2402.03300, eq. 3). `constant`: sum over completions × limit (Dr. GRPO,
    arXiv 2503.20783, section 3.2).
    """
    if mean == "token":
        return losses.sum() / totals.tokens
    if mean == "sequence":
        return completion_means(losses, completion).sum() / totals.completions
    return losses.sum() / (totals.completions * totals.limit)


def completion_means(values: Tensor, completion: Tensor) -> Tensor:
    """(C,) mean of the (N,) `values` of each completion."""
    return completion_sums(values, completion) / completion.bincount()
