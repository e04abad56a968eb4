"""Muon in fp32, the matrices' optimizer of the demo's pre-training.

`torch.optim.Muon` multiplies in bfloat16, which a CPU without such instructions does in a plain loop: 20 times slower.
"""

import itertools
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

# Quintic Newton-Schulz iteration (Jordan et al., "Muon", 2024): the steepest at zero that stays near 1.
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
ITERATIONS = 5
SMALLEST_NORM = 1e-7


class Muon(torch.optim.Optimizer):
    """Momentum with orthogonalised updates (Liu et al., arXiv 2502.16982, equation 4: 0.2 · sqrt(max(rows, columns))).

    Nesterov momentum, no weight decay. All parameters are fp32 matrices; those of one shape are one batch.
    """

    def __init__(self, matrices: Iterable[Tensor], lr: float, momentum: float = 0.95) -> None:
        super().__init__(matrices, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """One update of every matrix that has a gradient."""
        for group in self.param_groups:
            with_gradient = [weight for weight in group["params"] if weight.grad is not None]
            ordered = sorted(with_gradient, key=lambda weight: weight.shape)
            for shape, weights in itertools.groupby(ordered, key=lambda weight: weight.shape):
                self._update(list(weights), shape, group)

    def _update(self, weights: list[Tensor], shape: torch.Size, group: dict[str, Any]) -> None:
        updates = orthogonalised(torch.stack([self._momentum(weight, group["momentum"]) for weight in weights]))
        rate = group["lr"] * 0.2 * max(shape) ** 0.5
        for weight, update in zip(weights, updates, strict=True):
            weight.sub_(update, alpha=rate)

    def _momentum(self, weight: Tensor, momentum: float) -> Tensor:
        average = self.state[weight].setdefault("average", torch.zeros_like(weight))
        average.lerp_(weight.grad, 1 - momentum)
        return weight.grad.lerp(average, momentum)


def orthogonalised(matrices: Tensor) -> Tensor:
    """Each matrix of (N, rows, columns) fp32 with its singular values moved close to 1 (0.7 to 1.2)."""
    tall = matrices.shape[1] > matrices.shape[2]
    found = matrices.mT if tall else matrices
    found = found / found.norm(dim=(1, 2), keepdim=True).clamp(min=SMALLEST_NORM)
    a, b, c = COEFFICIENTS
    for _ in range(ITERATIONS):
        gram = found @ found.mT
        found = torch.baddbmm(found, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), found, beta=a)
    return found.mT if tall else found
