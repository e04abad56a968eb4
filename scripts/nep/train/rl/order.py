"""Which questions each step asks: a function of the seed, the step and the questions that are kept."""

import math
import re
from collections.abc import Sequence

from nep.config.grpo import Grpo
from nep.train.batches import draw

_HOPS = re.compile(r"hop(\d+)")


class QuestionOrder:
    """An endless pass over the kept questions; with a curriculum, the same draws sorted by their number of events.

    Attribute: `kept`, indices of the questions that are asked; all of them, until `keep` is called.
    """

    def __init__(self, grpo: Grpo, seed: int, kinds: Sequence[str]) -> None:
        """`kinds`: of all questions, in their order."""
        self._grpo = grpo
        self._seed = seed
        self._events = [number_of_events(kind) for kind in kinds]
        self.keep(range(len(kinds)), 0)

    def keep(self, kept: Sequence[int], step: int) -> None:
        """From step `step` (from 0) on, ask `kept` alone, in passes of their own."""
        self.kept = list(kept)
        self._begun = step
        # Nothing but the seed before the first step: what is drawn there does not depend on whether any were left out.
        self._pass = f"{self._seed}/{step}" if step else self._seed
        self._curriculum: list[int] | None = None
        if self._grpo.order == "by_hops":
            self._curriculum = by_hops(self._drawn(self._grpo.steps * self._grpo.prompts_per_step, 0), self._events)

    def of_step(self, step: int) -> list[int]:
        """The questions of step `step`, one a slot."""
        size = self._grpo.prompts_per_step
        if self._curriculum is not None:
            return self._curriculum[step * size : (step + 1) * size]
        return self._drawn(size, step - self._begun)

    def others(self, drawn: Sequence[int]) -> list[int]:
        """The questions that may take the places of some of a step's; by hops, none with more events than these."""
        if self._curriculum is None:
            return self.kept
        most = max(self._events[index] for index in drawn)
        return [index for index in self.kept if self._events[index] <= most]

    def _drawn(self, size: int, number: int) -> list[int]:
        """Batch `number` of so many questions."""
        return [self.kept[place] for place in draw(len(self.kept), size, self._pass, number)]


def by_hops(drawn: Sequence[int], events: Sequence[float]) -> list[int]:
    """The same questions, those about the fewest events first; those about equally many stay in their order."""
    return sorted(drawn, key=lambda index: events[index])


def number_of_events(kind: str) -> float:
    """How many events a kind of question asks about; infinity, which sorts last, where the kind does not tell."""
    found = _HOPS.fullmatch(kind)
    return int(found[1]) if found else math.inf
