"""A checkpoint on this machine that predicts."""

import threading
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import torch
from torch import Tensor
from transformers import LogitsProcessor, StoppingCriteria
from transformers.generation.streamers import BaseStreamer

from nep.config.vision import Vision
from nep.data.prompts import Prompts
from nep.model.chat import ChatModel
from nep.model.clip import Clip
from nep.model.quantized import Quantization
from nep.predict.ask import Ask, messages_of
from nep.predict.first_part import FirstParts, first_part
from nep.predict.predictor import Pieces, Stream

# What a tokenizer shows of a character whose bytes are not all there yet.
_UNFINISHED = "\ufffd"


class LocalPredictor:
    """A checkpoint folder of any supported family; weights are loaded once.

    A greedy answer is what `generate` gives for the question alone, as the evaluation asks it.
    """

    def __init__(
        self,
        folder: Path,
        vision: Vision,
        prompts: Prompts,
        parts: FirstParts,
        device: torch.device,
        dtype: torch.dtype,
        quantize: Quantization | None = None,
    ) -> None:
        self._chat = ChatModel(folder, vision, device, dtype, quantize=quantize)
        self._vision = vision
        self._prompts = prompts
        self._parts = parts

    def clip(self, ask: Ask) -> Clip:
        """See `Predictor`."""
        return first_part(ask.video, ask.moment, self._vision, self._chat.resizing, self._parts)

    def stream(self, ask: Ask) -> Stream:
        """See `Predictor`."""
        inputs = self._chat.inputs([messages_of(ask, self._prompts)], [self.clip(ask)])
        written = _Written()
        options: dict[str, Any] = {"streamer": written, "stopping_criteria": [written.stopping]}
        if ask.temperature > 0:
            options["logits_processor"] = [Sampling(ask.temperature, ask.seed, self._chat.model.device)]
        return Stream(self._pieces(inputs, ask.max_new_tokens, written, options))

    def _pieces(self, inputs: Any, limit: int, written: "_Written", options: dict[str, Any]) -> Pieces:
        writing = threading.Thread(target=written.write, args=(self._chat, inputs, limit, options), daemon=True)
        writing.start()
        tokens: list[int] = []
        told = ""
        try:
            while (token := written.next()) is not None:
                tokens.append(token)
                (text,) = self._chat.texts([tokens])
                if len(text) > len(told) and not text.endswith(_UNFINISHED):
                    yield text[len(told) :], len(tokens)
                    told = text
            (text,) = self._chat.texts([tokens])
            yield text[len(told) :], len(tokens)
        finally:
            written.stopping.stop.set()
            writing.join()


class Sampling(LogitsProcessor):
    """Sampling at a temperature as the choice of the largest score, with a generator of its own.

    log-probabilities / T + Gumbel noise (the Gumbel-max trick): what runs beside it in the process changes no draw.
    """

    def __init__(self, temperature: float, seed: int, device: torch.device) -> None:
        self._temperature = temperature
        self._generator = torch.Generator(device).manual_seed(seed)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Scores (B, vocabulary) whose largest one is drawn."""
        exponential = torch.empty_like(scores, dtype=torch.float32).exponential_(generator=self._generator)
        return scores.float() / self._temperature - exponential.log()


class _Stopping(StoppingCriteria):
    def __init__(self) -> None:
        self.stop = threading.Event()

    def __call__(self, input_ids: Tensor, scores: Tensor, **_: Any) -> Tensor:
        return torch.full((len(input_ids),), self.stop.is_set(), device=input_ids.device)


class _Written(BaseStreamer):
    """Tokens that one thread writes and another reads."""

    def __init__(self) -> None:
        self.stopping = _Stopping()
        self._tokens: SimpleQueue[int | BaseException | None] = SimpleQueue()
        self._prompt = True

    def write(self, chat: ChatModel, inputs: Any, limit: int, options: dict[str, Any]) -> None:
        """Generate; what is raised is raised where the tokens are read."""
        try:
            chat.generate(inputs, limit, **options)
        except BaseException as error:
            self._tokens.put(error)

    def put(self, value: Tensor) -> None:
        """Tokens of one sequence, as `generate` hands them over: first the prompt's."""
        if not self._prompt:
            for token in value.flatten().tolist():
                self._tokens.put(token)
        self._prompt = False

    def end(self) -> None:
        """The completion has ended."""
        self._tokens.put(None)

    def next(self) -> int | None:
        """The next token, None after the last one. Raises what the writing thread raised."""
        token = self._tokens.get()
        if isinstance(token, BaseException):
            raise token
        return token
