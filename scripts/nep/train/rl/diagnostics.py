"""Diagnostics of a GRPO run: completions that repeat each other, an entropy that collapses."""

import math
from collections import Counter
from collections.abc import Sequence

from nep.train.rl.rollout import Completion


def repeated(group: Sequence[Completion]) -> int:
    """How many completions of a group say, token for token, what another one of it says."""
    counts = Counter(tuple(completion.tokens.tolist()) for completion in group)
    return sum(count for count in counts.values() if count > 1)


class EntropyWatch:
    """Notices when the entropy of a run's steps falls below a share of the first step's."""

    def __init__(self, floor: float, past: Sequence[float]) -> None:
        """`past`: entropies of the steps before, of a run that resumes."""
        self._floor = floor
        self._start: float | None = None
        self._low = False
        for entropy in past:
            self.warning(entropy)

    def warning(self, entropy: float) -> str | None:
        """What to tell the user after a step of mean entropy `entropy` (nats); once for each fall below the floor.

        A step whose entropy is not a number tells nothing.
        """
        if math.isnan(entropy):
            return None
        if self._start is None:
            self._start = entropy
        was_low, self._low = self._low, entropy < self._floor * self._start
        if was_low or not self._low:
            return None
        return (
            f"entropy collapse: {entropy:.4f} nats a token, below {self._floor:g} of the first step's "
            f"{self._start:.4f}; the completions hardly differ any more (more entropy_coef, a lower lr or a higher "
            "temperature help)"
        )
