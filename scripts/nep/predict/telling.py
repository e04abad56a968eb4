"""How predictions are told: to people as they are written, to programs as rows."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TextIO

from nep.predict.answer import Prediction, read_prediction
from nep.predict.ask import Ask
from nep.predict.predictor import Predictor


@dataclass(frozen=True)
class Told:
    """A completion that has ended: its whole text, what it says, its tokens (None: not told), how long it took."""

    completion: str
    prediction: Prediction
    tokens: int | None
    seconds: float

    def row(self, ask: Ask, model: str, sample: int) -> dict[str, Any]:
        """The row of a JSON line."""
        return {
            "video": str(ask.video),
            "moment": ask.moment,
            "model": model,
            "sample": sample,
            "seed": ask.seed,
            "variant": ask.variant,
            "reasoning": self.prediction.reasoning,
            "prediction": self.prediction.prediction,
            "letter": self.prediction.letter,
            "completion": self.completion,
            "tokens": self.tokens,
            "seconds": round(self.seconds, 3),
        }


def answer(predictor: Predictor, ask: Ask, show: Callable[[Prediction], None]) -> Told:
    """Ask, and `show` what is written so far after each piece. Raises what the predictor does."""
    began = time.perf_counter()
    stream = predictor.stream(ask)
    text = ""
    for piece in stream:
        text += piece
        show(read_prediction(text, ask, unfinished=True))
    return Told(text, read_prediction(text, ask), stream.tokens, time.perf_counter() - began)


class Teller:
    """Writes reasoning and prediction under their names as they grow."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._written = {"reasoning": "", "prediction": ""}

    def __call__(self, so_far: Prediction) -> None:
        """Write what is new."""
        for name, text in (("reasoning", so_far.reasoning), ("prediction", so_far.prediction)):
            if text:
                self._out.write("".join(self._growth(name, text)))
        self._out.flush()

    def _growth(self, name: str, text: str) -> Iterator[str]:
        before = self._written[name]
        if not before:
            yield f"{name}: " if not any(self._written.values()) else f"\n{name}: "
        elif not text.startswith(before):
            # What looked like the prediction stood before it.
            before = ""
            yield f"\n{name}: "
        self._written[name] = text
        yield text[len(before) :]

    def end(self, told: Told, ask: Ask) -> None:
        """Close the answer: the text of the chosen option, tokens and time."""
        letter = told.prediction.letter
        chosen = f"\nchosen: {letter}. {ask.lettered[letter]}" if letter else "\nchosen: none that can be read"
        tokens = "" if told.tokens is None else f"{told.tokens} tokens, "
        self._out.write(f"{chosen if ask.options else ''}\n({tokens}{told.seconds:.1f} s)\n")
        self._out.flush()
