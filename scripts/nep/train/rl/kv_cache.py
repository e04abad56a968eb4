"""Sequences under way in a rollout: the key-value cache of prompts and completions, and the decode step over it.

`SharedPromptCache`: all n completions of a prompt are n queries of ONE row. The cache holds the prompt once, then the
completions' tokens interleaved, and a mask lets each completion see the prompt and itself. `CudaGraphCache` is the same
in buffers of fixed size, so that the step can be one captured graph on CUDA.

`PerSequenceCache`: a row for each completion of one prompt, for layers that carry state or see only a window: they can
neither share a row nor be padded.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel, StaticCache

from nep.model.padding import pad_positions, pad_rows
from nep.model.samples import Sample
from nep.model.visual import Visuals
from nep.train.rl.groups import next_position

# Graphs are captured for total lengths in steps of this, so that prompts of similar length share one.
LENGTH_STEP = 256


class Sequences(Protocol):
    """Rows (b, n) of completions that grow by one token a step."""

    first: Tensor
    """Logits (b, n, V) of the first tokens."""

    def feed(self, tokens: Tensor, place: int) -> Tensor:
        """Logits (b, n, V) after `tokens` (b, n), the completions' tokens number `place`."""

    def keep(self, rows: Tensor) -> bool:
        """Go on with the rows (b,) bool only; False where this form cannot, and all go on."""


class SharedPromptCache:
    """A prompt a row; its completions are the queries of that row."""

    def __init__(
        self, model: PreTrainedModel, prompts: Sequence[Sample], width: int, visuals: Visuals, pad: int
    ) -> None:
        self._model = model
        self._cache = DynamicCache(config=model.config.get_text_config())
        self.first = prefill(model, prompts, visuals, pad, self._cache)[:, None].expand(-1, width, -1)
        self._mask = _prompt_mask(prompts, width, self.first.device)
        self._own = torch.eye(width, dtype=torch.bool, device=self.first.device)
        self._positions = _start_positions(prompts, width, self.first.device)

    def feed(self, tokens: Tensor, place: int) -> Tensor:
        """See `Sequences`."""
        own = self._own.expand(len(tokens), 1, -1, -1)
        self._mask = torch.cat([self._mask, own], dim=-1)
        return _step(self._model, tokens, self._positions + place, self._cache, self._mask)

    def keep(self, rows: Tensor) -> bool:
        """See `Sequences`."""
        self._cache.reorder_cache(rows.nonzero()[:, 0])
        self._mask, self._positions = self._mask[rows], self._positions[:, rows]
        return True


class PerSequenceCache:
    """A completion a row, all of one prompt."""

    def __init__(self, model: PreTrainedModel, prompt: Sample, width: int, visuals: Visuals, pad: int) -> None:
        self._model = model
        self._cache = DynamicCache(config=model.config.get_text_config())
        self.first = prefill(model, [prompt], visuals, pad, self._cache).expand(width, -1)[:, None]
        # Not batch_repeat_interleave, which layers that carry state lack.
        self._cache.reorder_cache(torch.zeros(width, dtype=torch.long, device=self.first.device))
        self._positions = _start_positions([prompt] * width, 1, self.first.device)

    def feed(self, tokens: Tensor, place: int) -> Tensor:
        """See `Sequences`."""
        return _step(self._model, tokens, self._positions + place, self._cache, None)

    def keep(self, rows: Tensor) -> bool:
        """See `Sequences`."""
        self._cache.reorder_cache(rows.nonzero()[:, 0])
        self._positions = self._positions[:, rows]
        return True


class CudaGraphCache:
    """`SharedPromptCache` in buffers that are made once: `start` fills them again for other prompts.

    On CUDA the step is captured as a graph at the first start, and replayed from then on; elsewhere it is computed.
    The graph reads the model's weights where they lie, so that it follows an optimiser that writes them in place.
    """

    def __init__(self, model: PreTrainedModel, rows: int, width: int, length: int) -> None:
        device = model.get_input_embeddings().weight.device
        self._model = model
        self._shape = (rows, width, length)
        self._cache = StaticCache(config=model.config.get_text_config(), max_cache_len=length)
        self._tokens = torch.zeros(rows, width, dtype=torch.long, device=device)
        self._mask = torch.zeros(rows, 1, width, length, dtype=torch.bool, device=device)
        self._own = torch.eye(width, dtype=torch.bool, device=device)
        self._graph: torch.cuda.CUDAGraph | None = None

    @staticmethod
    def length_for(prompts: Sequence[Sample], width: int, limit: int) -> int:
        """Places that the cache must have for `limit` tokens of each completion."""
        needed = max(len(prompt) for prompt in prompts) + width * limit
        return -(-needed // LENGTH_STEP) * LENGTH_STEP

    def fits(self, model: PreTrainedModel, rows: int, width: int, length: int) -> bool:
        """Whether these buffers serve."""
        return self._model is model and self._shape == (rows, width, length)

    def start(self, prompts: Sequence[Sample], visuals: Visuals, pad: int) -> None:
        """Begin with `prompts`, as many as there are rows."""
        _, width, _ = self._shape
        prompt = DynamicCache(config=self._model.config.get_text_config())
        self.first = prefill(self._model, prompts, visuals, pad, prompt)[:, None].expand(-1, width, -1)
        self._begin = _start_positions(prompts, width, self.first.device)
        self._longest = max(len(item) for item in prompts)
        self._load(prompt)
        self._mask.fill_(False)
        self._mask[..., : self._longest] = _prompt_mask(prompts, width, self.first.device)
        if self.first.is_cuda and self._graph is None:
            self._positions = self._begin.clone()
            self._capture()
            self._load(prompt)

    def feed(self, tokens: Tensor, place: int) -> Tensor:
        """See `Sequences`. The result is overwritten by the next step."""
        _, width, _ = self._shape
        column = self._longest + place * width
        self._mask[..., column : column + width] = self._own
        self._tokens.copy_(tokens)
        if self._graph is None:
            self._positions = self._begin + place
            return self._compute()
        torch.add(self._begin, place, out=self._positions)
        self._graph.replay()
        return self._logits

    def keep(self, rows: Tensor) -> bool:
        """See `Sequences`."""
        return False

    def _compute(self) -> Tensor:
        return _step(self._model, self._tokens, self._positions, self._cache, self._mask)

    def _capture(self) -> None:
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side), distinct_indices():
            self._compute()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        # NCCL's threads may use CUDA meanwhile.
        with torch.cuda.graph(graph, capture_error_mode="thread_local"), distinct_indices():
            self._logits = self._compute()
        self._graph = graph

    def _load(self, prompt: DynamicCache) -> None:
        """Put the prompts' keys and values first, in the buffers that are there."""
        self._cache.reset()
        for index, layer in enumerate(prompt.layers):
            self._cache.update(layer.keys, layer.values, index)


@contextmanager
def distinct_indices() -> Iterator[None]:
    """Writes by index with the plain kernels, as exact as the deterministic ones where no index comes twice.

    Those sort the indices on CUDA: a dozen launches more for each layer's keys and for its values, in each step.
    """
    mode = torch.get_deterministic_debug_mode()
    torch.set_deterministic_debug_mode("default")
    try:
        yield
    finally:
        torch.set_deterministic_debug_mode(mode)


def prefill(
    model: PreTrainedModel, prompts: Sequence[Sample], visuals: Visuals, pad: int, cache: DynamicCache
) -> Tensor:
    """Fill `cache` with the prompts; logits (B, V) after the last token of each."""
    device = model.get_input_embeddings().weight.device
    # Not `logits_to_keep`, which some families ignore.
    hidden = model.model(
        input_ids=pad_rows([prompt.input_ids for prompt in prompts], pad).to(device),
        position_ids=pad_positions([prompt.position_ids for prompt in prompts]).to(device),
        past_key_values=cache,
        use_cache=True,
        **visuals.inputs([key for prompt in prompts for key in prompt.video_keys]),
    ).last_hidden_state
    last = [len(prompt) - 1 for prompt in prompts]
    return model.get_output_embeddings()(hidden[range(len(prompts)), last])


def _step(
    model: PreTrainedModel, tokens: Tensor, positions: Tensor, cache: DynamicCache | StaticCache, mask: Tensor | None
) -> Tensor:
    """One forward of `tokens` (b, n); `positions` (rotary dimensions, b, n)."""
    return model(
        input_ids=tokens,
        position_ids=positions[0] if len(positions) == 1 else positions,
        attention_mask=mask,
        past_key_values=cache,
        use_cache=True,
    ).logits


def _prompt_mask(prompts: Sequence[Sample], width: int, device: torch.device) -> Tensor:
    """(B, 1, width, longest prompt) bool: the real tokens of each prompt."""
    lengths = [len(prompt) for prompt in prompts]
    real = torch.arange(max(lengths), device=device)[None] < torch.tensor(lengths, device=device)[:, None]
    return real[:, None, None].expand(-1, 1, width, -1)


def _start_positions(prompts: Sequence[Sample], width: int, device: torch.device) -> Tensor:
    """(rotary dimensions, B, width) positions of the first tokens after the prompts."""
    first = torch.tensor([next_position(prompt) for prompt in prompts], device=device)
    return first[None, :, None].expand(len(prompts[0].position_ids), -1, width)
