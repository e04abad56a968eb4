"""A question about what happens in a video after a moment, and the messages that put it as training does."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nep.data.prompts import Prompts, Variant
from nep.errors import InputError
from nep.rows.question import LETTERS

FEWEST_OPTIONS, MOST_OPTIONS = 2, len(LETTERS)


@dataclass(frozen=True)
class Ask:
    """One question to a model; the same one twice gets the same answer.

    Attributes:
        video: the file.
        moment: seconds from its first picture; what is shown at and after it stays hidden. None: all of it is shown.
        question: its wording; None: the first one that the data sets have for it.
        options: texts of the answers to choose from, A first, two to four; none: the prediction is free.
        variant: `reason` asks for thoughts before the answer, `direct` for the answer alone.
        temperature: of sampling; 0 takes the likeliest token each time.
        seed: of sampling.
        max_new_tokens: the longest completion.
    """

    video: Path
    moment: float | None = None
    question: str | None = None
    options: tuple[str, ...] = ()
    variant: Variant = "reason"
    temperature: float = 0.0
    seed: int = 0
    max_new_tokens: int = 512

    def __post_init__(self) -> None:
        """Raise InputError naming a value that cannot be asked with."""
        if self.moment is not None and not 0 < self.moment < math.inf:
            raise InputError(f"{self.video}: moment {self.moment:g} s, should be after the video's first picture (> 0)")
        if self.options and not FEWEST_OPTIONS <= len(self.options) <= MOST_OPTIONS:
            raise InputError(
                f"{self.video}: {len(self.options)} options, should be {FEWEST_OPTIONS} to {MOST_OPTIONS}, as models "
                f"are trained and read with the letters {LETTERS[0]} to {LETTERS[-1]}"
            )
        if not 0 <= self.temperature < math.inf:
            raise InputError(f"{self.video}: temperature {self.temperature:g}, should be 0 or more")
        if self.max_new_tokens < 1:
            raise InputError(f"{self.video}: max_new_tokens {self.max_new_tokens}, should be 1 or more")

    @property
    def lettered(self) -> dict[str, str]:
        """The options by their letters."""
        return dict(zip(LETTERS, self.options, strict=False))


def messages_of(ask: Ask, prompts: Prompts) -> list[dict[str, Any]]:
    """The chat messages of a question, in parts; the part of type `video` stands for the clip.

    With options it is put as the evaluation's questions are, without them as the data sets `next_event` (direct) and
    `distill` (with reasoning) put it.
    """
    pools = prompts.question_pools
    if ask.options:
        text = prompts.multiple_choice(ask.question or pools.next_event_mc[1][0], ask.lettered, ask.variant)
    else:
        text = ask.question or pools.next_event[0]
    asked = {"role": "user", "content": [{"type": "video"}, {"type": "text", "text": text}]}
    if ask.options or ask.variant == "direct":
        return [asked]
    return [{"role": "system", "content": [{"type": "text", "text": prompts.system.distill}]}, asked]
