"""Rows of the data sets as token sequences, identical to what the model's own processor makes of them.

1. The row's messages go through the checkpoint's chat template.
2. Each video placeholder is expanded to the text with visual tokens that the encode stage has had from the processor.
3. Prompt and answer are tokenised apart, as they are when the model generates; only the answer and its end token count.
4. Rotary positions come from the model's own rope-index function.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from transformers import PreTrainedModel, ProcessorMixin

from nep.errors import InputError
from nep.model.family import Placeholder
from nep.model.plain_text import PlainText
from nep.rows.dataset import DatasetRow

VIDEO_MARK = "<video>"


class VideoShapes(Protocol):
    """What sample building needs of the vision cache."""

    def placeholder(self, key: str) -> Placeholder:
        """What stands for a clip in a prompt."""


@dataclass(frozen=True)
class Sample:
    """A token sequence: a prompt, then (in SFT) the answer with its end token.

    Attributes:
        id: the row's id.
        input_ids: (L,) int64.
        position_ids: (3, L) int64, or (1, L) for a model without multi-dimensional positions.
        prompt_length: number of leading tokens that carry no label.
        video_keys: cache keys of the videos, in the order of their placeholders.
        visual_end: number of leading tokens up to the last visual one, with it; 0 without videos.
    """

    id: str
    input_ids: Tensor
    position_ids: Tensor
    prompt_length: int
    video_keys: tuple[str, ...]
    visual_end: int

    def __len__(self) -> int:
        return len(self.input_ids)

    @property
    def labelled(self) -> int:
        """Number of labelled tokens."""
        return len(self) - self.prompt_length


def video_keys(row: DatasetRow) -> tuple[str, ...]:
    """Vision-cache keys of a row's videos."""
    return (row.clip_key,) * len(row.videos)


class SampleBuilder:
    """Builds samples with one checkpoint's processor and model.

    Control tokens of the tokenizer are taken out of the messages' texts; `altered` has those of each row, by its id.
    """

    def __init__(self, processor: ProcessorMixin, model: PreTrainedModel, shapes: VideoShapes) -> None:
        self._processor = processor
        self._tokenizer = processor.tokenizer
        self._shapes = shapes
        self._rope_index: Callable[..., Any] | None = getattr(model.model, "get_rope_index", None)
        self._plain = PlainText(processor.tokenizer)
        self.altered: dict[str, list[str]] = {}
        self.end_tokens = end_tokens(model, processor)

    def prompt(self, identity: str, messages: Sequence[Mapping[str, str]], keys: Sequence[str]) -> Sample:
        """A prompt that ends where the assistant's turn begins. Raises InputError naming the row."""
        text = self._expand(identity, self._render(self._structured(identity, messages), generate=True), keys)
        return self._sample(identity, self._tokenize(text), [], keys)

    def dialogue(self, identity: str, messages: Sequence[Mapping[str, str]], keys: Sequence[str]) -> Sample:
        """A prompt and the answer in the last message; the answer and its end token are labelled."""
        if not messages or messages[-1]["role"] != "assistant":
            raise InputError(f"record {identity}: the last message must be the assistant's answer")
        turns = self._structured(identity, messages)
        prompt = self._render(turns[:-1], generate=True)
        whole = self._render(turns, generate=False)
        if not whole.startswith(prompt):
            raise InputError(f"record {identity}: the chat template renders the answer apart from its prompt")
        answer = self._tokenize(whole[len(prompt) :])
        ends = [index for index, token in enumerate(answer) if token in self.end_tokens]
        if not ends:
            raise InputError(f"record {identity}: the chat template ends the answer with none of {self.end_tokens}")
        return self._sample(
            identity, self._tokenize(self._expand(identity, prompt, keys)), answer[: ends[-1] + 1], keys
        )

    def _sample(self, identity: str, prompt: list[int], answer: list[int], keys: Sequence[str]) -> Sample:
        tokens = prompt + answer
        return Sample(
            id=identity,
            input_ids=torch.tensor(tokens),
            position_ids=self._positions(tokens, keys),
            prompt_length=len(prompt),
            video_keys=tuple(keys),
            visual_end=self._visual_end(prompt, keys),
        )

    def _visual_end(self, prompt: list[int], keys: Sequence[str]) -> int:
        visual = {self._shapes.placeholder(key).token_id(self._processor) for key in keys}
        return max((place + 1 for place, token in enumerate(prompt) if token in visual), default=0)

    def _structured(self, identity: str, messages: Sequence[Mapping[str, str]]) -> list[dict[str, Any]]:
        turns = [{"role": turn["role"], "content": content_parts(turn["content"])} for turn in messages]
        found = []
        for part in (part for turn in turns for part in turn["content"] if part["type"] == "text"):
            part["text"], removed = self._plain(part["text"])
            found += removed
        if found:
            self.altered[identity] = found
        return turns

    def _render(self, turns: Sequence[Mapping[str, Any]], generate: bool) -> str:
        return self._processor.apply_chat_template(turns, tokenize=False, add_generation_prompt=generate)

    def _expand(self, identity: str, text: str, keys: Sequence[str]) -> str:
        pieces = text.split(self._processor.video_token)
        if len(pieces) - 1 != len(keys):
            raise InputError(f"record {identity}: {len(pieces) - 1} video placeholders for {len(keys)} videos")
        expanded = pieces[0]
        for key, piece in zip(keys, pieces[1:], strict=True):
            expanded += self._shapes.placeholder(key).text(self._processor) + piece
        return expanded

    def _tokenize(self, text: str) -> list[int]:
        return self._tokenizer(text, add_special_tokens=False)["input_ids"]

    def _positions(self, tokens: list[int], keys: Sequence[str]) -> Tensor:
        if self._rope_index is None:
            return torch.arange(len(tokens))[None]
        placeholders = [self._shapes.placeholder(key) for key in keys]
        videos = {
            "video_grid_thw": [placeholder.grid for placeholder in placeholders],
            "second_per_grid_ts": [placeholder.second_per_grid for placeholder in placeholders],
        }
        given = {name: torch.tensor(values) for name, values in videos.items() if values and None not in values}
        return rotary_positions(self._rope_index, self._processor, tokens, **given)


def rotary_positions(
    rope_index: Callable[..., Any], processor: ProcessorMixin, tokens: list[int], **grids: Tensor
) -> Tensor:
    """(3, L) int64, by a model's own function; `grids` are its inputs of the clips and images that the tokens hold."""
    types = torch.tensor(processor.create_mm_token_type_ids([tokens]))
    positions, _ = rope_index(torch.tensor([tokens]), mm_token_type_ids=types, **grids)
    return positions[:, 0]


def content_parts(content: str) -> list[dict[str, str]]:
    """ShareGPT content as the parts that chat templates take: a video for each `<video>`, text for the rest."""
    parts: list[dict[str, str]] = []
    for index, text in enumerate(content.split(VIDEO_MARK)):
        if index:
            parts.append({"type": "video"})
        if text:
            parts.append({"type": "text", "text": text})
    return parts


def say_altered(altered: Mapping[str, Sequence[str]]) -> None:
    """Print which rows have had control tokens in their texts."""
    for identity, found in altered.items():
        print(f"record {identity}: control tokens were taken out of its texts: {' '.join(found)}", file=sys.stderr)


def end_tokens(model: PreTrainedModel, processor: ProcessorMixin) -> frozenset[int]:
    """Tokens that end an answer: those of the generation config, and the tokenizer's own."""
    configured = model.generation_config.eos_token_id if model.generation_config else None
    listed = configured if isinstance(configured, list) else [configured]
    return frozenset(token for token in [*listed, processor.tokenizer.eos_token_id] if token is not None)
