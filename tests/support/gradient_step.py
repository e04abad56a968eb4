"""The gradient that an engine's step has taken, read from its weights."""

from collections.abc import Callable

import torch

from nep.train.engine import Engine


def sgd(engine: Engine) -> None:
    """Make the optimiser's update the gradient itself: AdamW's first step only keeps its sign."""
    base = engine.deepspeed.optimizer.optimizer
    base.__class__ = torch.optim.SGD
    for group in base.param_groups:
        group.update(momentum=0.0, dampening=0.0, nesterov=False, weight_decay=0.0, maximize=False, foreach=False)
        group.update(differentiable=False, fused=False)


def update_of(engine: Engine, take_step: Callable[[Engine], None]) -> dict[str, torch.Tensor]:
    """How each trainable weight changes in one step of plain gradient descent at rate 1."""
    sgd(engine)
    before = {name: weight.detach().clone() for name, weight in engine.model.named_parameters() if weight.requires_grad}
    take_step(engine)
    return {name: before[name] - dict(engine.model.named_parameters())[name].detach() for name in before}
