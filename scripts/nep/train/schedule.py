"""The learning rate as a function of the step alone, so that a resumed run needs no scheduler state."""

import math
from typing import Literal


def learning_rate(
    step: int, steps: int, peak: float, warmup_ratio: float, schedule: Literal["cosine", "constant"]
) -> float:
    """Rate of the optimiser step `step` (from 0) of `steps`: linear warm-up to `peak`, then cosine to 0 or constant."""
    warmup = math.ceil(steps * warmup_ratio)
    if step < warmup:
        return peak * (step + 1) / warmup
    if schedule == "constant":
        return peak
    progress = (step - warmup) / max(1, steps - warmup)
    return peak * 0.5 * (1 + math.cos(math.pi * progress))


def is_due(step: int, every: int, steps: int) -> bool:
    """Whether what is done every `every` steps, and at the end, is done after `step`."""
    return step % every == 0 or step == steps
