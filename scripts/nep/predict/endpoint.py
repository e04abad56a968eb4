"""A model behind an OpenAI-compatible API that predicts."""

from typing import Any

import openai

from nep.annotate.frames import to_jpeg
from nep.config.endpoint import Endpoint
from nep.config.vision import Vision
from nep.data.prompts import Prompts
from nep.errors import InputError
from nep.model.clip import Clip
from nep.model.resizing import WithinBudget
from nep.predict.ask import Ask, messages_of
from nep.predict.first_part import FirstParts, first_part
from nep.predict.predictor import Pieces, Stream

# Patch size × merge size of Qwen2.5-VL: of any API, it is not known what its frames are resized to.
_FACTOR = 28


class EndpointPredictor:
    """The sampled frames are sent as JPEG images, each after its time; the answer comes by server-sent events."""

    def __init__(self, endpoint: Endpoint, vision: Vision, prompts: Prompts, parts: FirstParts) -> None:
        self._endpoint = endpoint
        self._key = endpoint.key()
        self._client = openai.OpenAI(
            base_url=endpoint.url, api_key=self._key, timeout=endpoint.timeout_s, max_retries=0
        )
        self._vision = vision
        self._prompts = prompts
        self._parts = parts

    def clip(self, ask: Ask) -> Clip:
        """See `Predictor`."""
        return first_part(ask.video, ask.moment, self._vision, WithinBudget(_FACTOR), self._parts)

    def stream(self, ask: Ask) -> Stream:
        """See `Predictor`. Reading it raises InputError where the endpoint gives no answer."""
        shown = _shown(self.clip(ask))
        messages = [{**turn, "content": _parts(turn["content"], shown)} for turn in messages_of(ask, self._prompts)]
        return Stream(self._pieces(ask, messages))

    def _pieces(self, ask: Ask, messages: list[dict[str, Any]]) -> Pieces:
        tokens = None
        try:
            with self._client.chat.completions.create(
                model=self._endpoint.model,
                messages=messages,
                max_tokens=ask.max_new_tokens,
                temperature=ask.temperature,
                seed=ask.seed,
                stream=True,
                stream_options={"include_usage": True},
            ) as events:
                for event in events:
                    tokens = event.usage.completion_tokens if event.usage else tokens
                    text = event.choices[0].delta.content if event.choices else None
                    if text:
                        yield text, tokens
            yield "", tokens
        except openai.APIError as error:
            # Some endpoints repeat the key that they refuse.
            told = str(error.__cause__ or error).replace(self._key, f"[{self._endpoint.key_from}]")
            raise InputError(f"{self._endpoint.url}, model {self._endpoint.model!r}: no answer ({told})") from None


def _shown(clip: Clip) -> list[dict[str, Any]]:
    """The frames as parts of a message, each after the time at which it is shown."""
    parts: list[dict[str, Any]] = []
    for pixels, seconds in zip(clip.frames, clip.pts, strict=True):
        url = to_jpeg(pixels, max(pixels.shape)).data_url
        parts += [{"type": "text", "text": f"{seconds:.1f} s"}, {"type": "image_url", "image_url": {"url": url}}]
    return parts


def _parts(content: list[dict[str, Any]], shown: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A message's parts as the API takes them."""
    return [part for one in content for part in (shown if one["type"] == "video" else [one])]
