"""What every model that predicts has in common, wherever it runs."""

from collections.abc import Generator, Iterator
from typing import Protocol

from nep.model.clip import Clip
from nep.predict.ask import Ask

# Text, and how many tokens are written with it; None where an endpoint does not say.
Pieces = Generator[tuple[str, int | None], None, None]


class Stream(Iterator[str]):
    """The pieces of a completion as they are written; the last one may be empty.

    `tokens`: so many are written so far, with the one that ends the answer; None where an endpoint does not say.
    """

    def __init__(self, pieces: Pieces) -> None:
        self._pieces = pieces
        self.tokens: int | None = None

    def __next__(self) -> str:
        text, self.tokens = next(self._pieces)
        return text

    def close(self) -> None:
        """End the completion, written or not: nothing more is computed."""
        self._pieces.close()


class Predictor(Protocol):
    """A model that is asked about videos, one question at a time."""

    def clip(self, ask: Ask) -> Clip:
        """What the model is shown. Raises UnusableVideoError."""

    def stream(self, ask: Ask) -> Stream:
        """The completion; all pieces together are its whole text. Raises UnusableVideoError before the first piece."""
