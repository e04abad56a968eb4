"""The fp32 Muon against torch's own, which multiplies in bfloat16, and against the singular values."""

import copy

import torch
from torch import nn

from nep.demo.muon import Muon, orthogonalised


def test_singular_values_move_close_to_one() -> None:
    matrices = torch.randn(3, 24, 40, generator=torch.Generator().manual_seed(0))
    for found, given in zip(orthogonalised(matrices), matrices, strict=True):
        left, _, right = torch.linalg.svd(given, full_matrices=False)
        ours = torch.linalg.svdvals(found)
        assert ours.min() > 0.6 and ours.max() < 1.25
        # The singular vectors stay: what is left after them is the diagonal of the new values.
        core = left.T @ found @ right.T
        torch.testing.assert_close(core, torch.diag(core.diagonal()), atol=1e-4, rtol=0)
    torch.testing.assert_close(orthogonalised(matrices.mT), orthogonalised(matrices).mT)


def test_steps_are_those_of_torch_but_for_its_rounding() -> None:
    generator = torch.Generator().manual_seed(1)
    ours = nn.ParameterList(torch.randn(shape, generator=generator) for shape in ((16, 32), (32, 16), (16, 32)))
    theirs = copy.deepcopy(ours)
    start = [weight.detach().clone() for weight in ours]
    peer = torch.optim.Muon(theirs, lr=0.1, weight_decay=0.0, adjust_lr_fn="match_rms_adamw")
    optimizer = Muon(ours, lr=0.1)
    for _ in range(3):
        for mine, other in zip(ours, theirs, strict=True):
            mine.grad = torch.randn(mine.shape, generator=generator)
            other.grad = mine.grad.clone()
        optimizer.step()
        peer.step()
    for mine, other, first in zip(ours, theirs, start, strict=True):
        moved, expected = mine - first, other - first
        assert (moved - expected).norm() < 0.02 * expected.norm()
