"""The models of a run, read in the background, each once; one question is answered at a time."""

import threading
import time
import traceback
from collections.abc import Generator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nep.data.prompts import load_prompts
from nep.errors import InputError
from nep.layout.models import experiment_and_stage
from nep.predict.answer import Prediction, read_prediction
from nep.predict.ask import Ask
from nep.predict.run_models import RunModel, RunModels

if TYPE_CHECKING:
    from nep.model.clip import Clip
    from nep.predict.first_part import FirstParts
    from nep.predict.opening import Opened

# Parts that are kept beside the newest one: a cut that is dragged to and fro needs no second cutting.
KEPT_PARTS = 64

Event = dict[str, Any]


@dataclass
class Models:
    """Models that are asked on the page; `parts` is the folder of first parts that are cut for them.

    Reading them begins with `start`, in their order: torch takes seconds to be imported, in which a page can be opened.
    """

    listed: RunModels
    prompts: Path
    parts: Path
    _reading: dict[str, "Future[Opened]"] = field(default_factory=dict)
    _asked: threading.Lock = field(default_factory=threading.Lock)
    _cutting: threading.Lock = field(default_factory=threading.Lock)

    def start(self) -> None:
        """Begin to read the models."""
        self._reading.update({model.path: Future() for model in self.listed.models})
        threading.Thread(target=self._read_all, name="models", daemon=True).start()

    def state(self) -> list[Event]:
        """Names of the models, whether each can be asked, and why it cannot where reading it has failed."""
        return [
            {
                "path": model.path,
                "title": model.title,
                "stage": experiment_and_stage(model.name)[1],
                "ready": (reading := self._reading[model.path]).done(),
                "error": _failure(reading),
            }
            for model in self.listed.models
        ]

    def clip(self, ask: Ask) -> "Clip":
        """What models see for a question; waits for the first of them. Raises InputError."""
        opened = self._reading[self.listed.models[0].path].result()
        with self._cutting:
            clip = opened.predictor.clip(ask)
            self._drop_old_parts()
        return clip

    def answers(self, ask: Ask, paths: Sequence[str], samples: int) -> Generator[Event, None, None]:
        """Ask models one after the other, each `samples` times with seeds that follow each other; events as they come.

        An answer is as long as the run's evaluation allows. Each event names `model` and `sample`, with a `state` in
        words, what is written so far (`reasoning`, `prediction`, `letter`) and, at the end, the `completion`, its
        `tokens` and `seconds`. An `error` ends all. Closed early, nothing more is computed.
        """
        try:
            if not self._asked.acquire(blocking=False):
                yield {"model": paths[0], "sample": 0, "state": "waits for another question"}
                self._asked.acquire()
            try:
                for path in paths:
                    for sample in range(samples):
                        yield from self._answer(replace(ask, seed=ask.seed + sample), path, sample)
            finally:
                self._asked.release()
        except InputError as error:
            yield {"error": str(error)}

    def _answer(self, ask: Ask, path: str, sample: int) -> Generator[Event, None, None]:
        about = {"model": path, "sample": sample}
        yield {**about, "state": "is read from disk" if not self._reading[path].done() else "looks at the video"}
        opened = self._reading[path].result()
        begun = time.monotonic()
        ask = replace(ask, max_new_tokens=opened.most_tokens(ask.variant, ask.options))
        stream, text = opened.predictor.stream(ask), ""
        try:
            for piece in stream:
                text += piece
                yield {**about, **_json(read_prediction(text, ask, unfinished=True))}
            seconds = round(time.monotonic() - begun, 2)
            said = _json(read_prediction(text, ask))
            yield {**about, **said, "completion": text, "tokens": stream.tokens, "seconds": seconds}
        finally:
            stream.close()

    def _read_all(self) -> None:
        # Here, because it imports torch.
        from nep.predict.first_part import FirstParts

        parts = FirstParts(self.parts)
        for model in self.listed.models:
            try:
                self._reading[model.path].set_result(self._read(model, parts))
            except Exception as error:
                if not isinstance(error, InputError):
                    traceback.print_exc()
                self._reading[model.path].set_exception(InputError(f"{model.title}: {error}"))

    def _read(self, model: RunModel, parts: "FirstParts") -> "Opened":
        from nep.predict.opening import Opened, open_local

        local = open_local(model.folder, self.listed.vision, load_prompts(self.prompts), parts)
        return Opened(local, model.path, self.listed.max_new_tokens)

    def _drop_old_parts(self) -> None:
        parts = sorted(self.parts.rglob("*.mp4"), key=lambda part: part.stat().st_mtime)
        for part in parts[: -KEPT_PARTS - 1]:
            part.unlink()


def _json(said: Prediction) -> Event:
    return {"reasoning": said.reasoning, "prediction": said.prediction, "letter": said.letter}


def _failure(reading: "Future[Opened]") -> str | None:
    problem = reading.exception() if reading.done() else None
    return None if problem is None else str(problem)
