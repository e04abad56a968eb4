"""All questions of one call, one after the other: a video that cannot be used does not end the rest."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TextIO

from nep.errors import InputError
from nep.files import to_json_line
from nep.predict.ask import Ask
from nep.predict.first_part import UnusableVideoError
from nep.predict.opening import Opened
from nep.predict.requests import Asked
from nep.predict.telling import Teller, answer


@dataclass(frozen=True)
class Sampling:
    """How often each question is asked, at which temperature, from which seed on, and how long an answer may be.

    A None is chosen: a temperature of 0 for one sample and of 1 for several, as in GRPO; tokens by the model's run.
    """

    samples: int = 1
    temperature: float | None = None
    seed: int = 0
    max_new_tokens: int | None = None

    def __post_init__(self) -> None:
        """Raise InputError for samples that would all be the same."""
        if self.samples < 1:
            raise InputError(f"samples is {self.samples}, should be 1 or more")
        if self.samples > 1 and self.temperature == 0:
            raise InputError(f"{self.samples} samples at temperature 0 are all the same; take a higher one")


def predict_all(opened: Opened, asked: Sequence[Asked], sampling: Sampling, out: TextIO, as_json: bool) -> None:
    """Ask about each video, and write what is answered: as it comes, or a JSON line an answer.

    A video that cannot be used is named on the error output, and in a JSON line of its own. Raises InputError when all
    are asked and some could not be used.
    """
    asks = [_ask(opened, one, sampling) for one in asked]
    failed = 0
    for ask in asks:
        try:
            for sample in range(sampling.samples):
                _predict(opened, replace(ask, seed=sampling.seed + sample), sample, sampling.samples, out, as_json)
        except UnusableVideoError as error:
            failed += 1
            print(f"{error}", file=sys.stderr)
            if as_json:
                row = {"video": str(ask.video), "moment": ask.moment, "model": opened.name, "error": str(error)}
                out.write(to_json_line(row))
    if failed:
        raise InputError(f"{failed} of {len(asks)} videos could not be used")


def _ask(opened: Opened, asked: Asked, sampling: Sampling) -> Ask:
    chosen = 0.0 if sampling.samples == 1 else 1.0
    return Ask(
        video=asked.video,
        moment=asked.moment,
        question=asked.question,
        options=asked.options,
        variant=asked.variant,
        temperature=chosen if sampling.temperature is None else sampling.temperature,
        seed=sampling.seed,
        max_new_tokens=sampling.max_new_tokens or opened.most_tokens(asked.variant, asked.options),
    )


def _predict(opened: Opened, ask: Ask, sample: int, samples: int, out: TextIO, as_json: bool) -> None:
    if as_json:
        out.write(to_json_line(answer(opened.predictor, ask, lambda so_far: None).row(ask, opened.name, sample)))
        out.flush()
        return
    shown = "all of it" if ask.moment is None else f"before {ask.moment:g} s"
    number = f", sample {sample + 1} of {samples}" if samples > 1 else ""
    out.write(f"{ask.video}, {shown}: {opened.name}{number}\n")
    teller = Teller(out)
    teller.end(answer(opened.predictor, ask, teller), ask)
