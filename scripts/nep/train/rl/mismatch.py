"""What is left between the engine that samples and the trainer that learns: ratios, weights that correct it, metrics.

The same weights give two programs different log-probs, so that tokens are drawn from another policy than the one whose
gradient is taken. The importance ratio r = π_trainer / π_engine of the sampled tokens, both under the weights that
sampled, makes up for it. Each function takes and gives (N,) tensors unless it says otherwise.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from nep.config.grpo import Mismatch

# Beyond it a ratio is outside any bound; it keeps exp finite where a long completion's log-ratios add up.
LOG_RATIO_BOUND = 20.0


@dataclass(frozen=True)
class Sampled:
    """N completion tokens that an engine has sampled.

    Attributes:
        trainer: (N,) log-probs under the trainer. engine: (N,) under the engine. Neither has a gradient.
        completion: (N,) int64, number of each token's completion: 0, 1, … without gaps.
    """

    trainer: Tensor
    engine: Tensor
    completion: Tensor


def token_ratios(sampled: Sampled) -> Tensor:
    """r of each token. Source: Yao et al. (2025), "Your Efficient RL Framework Secretly Brings You Off-Policy RL
    Training", fengyao.notion.site/off-policy-rl."""
    return _bounded_exp(sampled.trainer - sampled.engine)


def sequence_ratios(sampled: Sampled) -> Tensor:
    """r of each token's whole completion: the product of its tokens' ratios.

    Source: Liu, Li et al. (2025), "When Speed Kills Stability: Demystifying RL Collapse from the Inference-Training
    Mismatch"; verl's `rollout_is: sequence`.
    """
    sums = completion_sums(sampled.trainer - sampled.engine, sampled.completion)
    return _bounded_exp(sums)[sampled.completion]


RATIOS: dict[str, Callable[[Sampled], Tensor]] = {"token": token_ratios, "sequence": sequence_ratios}


def truncated_weights(ratios: Tensor, high: float) -> Tensor:
    """min(r, high): truncated importance sampling. Source: Yao et al. (2025), see `token_ratios`."""
    return ratios.clamp(max=high)


def masked_weights(ratios: Tensor, low: float, high: float) -> Tensor:
    """r where low ≤ r ≤ high, else 0: what lies outside teaches nothing.

    Sources: Ling Team (2025), IcePop, arXiv 2510.18855 (tokens); Liu, Li et al. (2025), see `sequence_ratios`.
    """
    return ratios.where((ratios >= low) & (ratios <= high), 0)


def weights(sampled: Sampled, mismatch: Mismatch) -> Tensor:
    """What each token's policy loss is multiplied by; without gradient."""
    ratios = RATIOS[mismatch.level](sampled)
    if mismatch.correct == "truncate":
        return truncated_weights(ratios, mismatch.high)
    return masked_weights(ratios, mismatch.low, mismatch.high)


@dataclass
class Tally:
    """Sums over tokens, from which the figures of a step are made.

    Attributes: `tokens`, `ratios` and `corrected` (tokens whose weight is not their ratio) are sums, as is `divergence`
    (nats); `largest` is the largest ratio.
    """

    tokens: float = 0.0
    ratios: float = 0.0
    corrected: float = 0.0
    divergence: float = 0.0
    largest: float = 0.0

    def add(self, sampled: Sampled, mismatch: Mismatch | None) -> None:
        """Count the tokens of a row; without `mismatch` the ratios are the tokens' own, and nothing is corrected."""
        ratios = RATIOS[mismatch.level if mismatch else "token"](sampled)
        self.tokens += len(ratios)
        self.ratios += ratios.double().sum().item()
        self.divergence += engine_divergence(sampled).double().sum().item()
        self.largest = max(self.largest, ratios.max().item())
        if mismatch:
            self.corrected += (weights(sampled, mismatch) != ratios).sum().item()


def figures(sums: Tally) -> dict[str, float]:
    """The step's figures by their names in the log; not a number where no token was scored, as no group had signal."""
    values = (sums.ratios, sums.corrected, sums.divergence)
    mean, corrected, divergence = (value / sums.tokens if sums.tokens else math.nan for value in values)
    return {
        "engine_ratio": mean,
        "engine_ratio_max": sums.largest if sums.tokens else math.nan,
        "engine_corrected": corrected,
        "engine_kl": divergence,
    }


def engine_divergence(sampled: Sampled) -> Tensor:
    """r − 1 − log r of each token, whose mean over tokens of the engine is KL(engine ‖ trainer), in nats.

    Source: Schulman, "Approximating KL divergence" (2020), the estimator k3.
    """
    difference = (sampled.trainer - sampled.engine).clamp(-LOG_RATIO_BOUND, LOG_RATIO_BOUND)
    return difference.exp() - 1 - difference


def completion_sums(values: Tensor, completion: Tensor) -> Tensor:
    """(C,) sum of the (N,) `values` of each completion."""
    # A product with the membership, not index_add: that has no deterministic form on CUDA.
    member = completion == torch.arange(int(completion.max()) + 1, device=completion.device)[:, None]
    return (values * member).sum(dim=1)


def _bounded_exp(log_ratios: Tensor) -> Tensor:
    return log_ratios.clamp(-LOG_RATIO_BOUND, LOG_RATIO_BOUND).exp()
