"""Sequences under way in a rollout: the key-value cache of prompts and completions, and the decode step over it.

`SharedPromptCache`: all n completions of a prompt are n queries of ONE row. The cache holds the prompt once, then the
completions' tokens interleaved, and a mask lets each completion see the prompt and itself. `CudaGraphCache` is the same
in buffers of fixed size, so that the step can be a captured graph on CUDA: one for each length of a view of them.

`PerSequenceCache`: a row for each completion of one prompt, for layers that carry state or see only a window: they can
neither share a row nor be padded.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor
from transformers import Cache, DynamicCache, PreTrainedModel
from transformers.cache_utils import StaticLayer

from nep.model.padding import pad_positions, pad_rows
from nep.model.samples import Sample
from nep.model.visual import Visuals
from nep.train.rl.groups import next_position

# Buffers have lengths in steps of this, so that prompts of similar length share them.
LENGTH_STEP = 256
# Steps attend to the first 2,048 places of the buffers, then to 4,096, …: most completions end long before the limit.
FIRST_VIEW = 2048


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


class ViewedLayer(StaticLayer):
    """A layer's buffers, of which attention sees the first `view` places: a number, that a captured graph keeps."""

    view: int

    def update(self, *states: Any, **options: Any) -> tuple[Tensor, Tensor]:
        """Write the new keys and values behind those that are there; the views."""
        keys, values = super().update(*states, **options)
        return keys[:, :, : self.view], values[:, :, : self.view]


class CudaGraphCache:
    """`SharedPromptCache` in buffers that are made once: `start` fills them again for other prompts.

    A step attends to a view of the buffers' first places, the shortest one that holds all tokens (`view_lengths`). The
    first step over a view is computed; on CUDA it is then captured as a graph, which later steps and later prompts
    replay. A graph reads the model's weights where they lie, so that it follows an optimiser that writes them in place.
    """

    def __init__(self, model: PreTrainedModel, rows: int, width: int, length: int) -> None:
        device = model.get_input_embeddings().weight.device
        self._model = model
        self._shape = (rows, width)
        self._length = length
        layers = model.config.get_text_config().num_hidden_layers
        self._cache = Cache(layers=[ViewedLayer(max_cache_len=length) for _ in range(layers)])
        self._tokens = torch.zeros(rows, width, dtype=torch.long, device=device)
        self._mask = torch.zeros(rows, 1, width, length, dtype=torch.bool, device=device)
        self._own = torch.eye(width, dtype=torch.bool, device=device)
        self._positions: Tensor | None = None
        self._steps: dict[int, Callable[[], Tensor]] = {}

    @staticmethod
    def length_for(prompts: Sequence[Sample], width: int, limit: int) -> int:
        """Places that the cache must have for `limit` tokens of each completion."""
        needed = max(len(prompt) for prompt in prompts) + width * limit
        return -(-needed // LENGTH_STEP) * LENGTH_STEP

    def fits(self, model: PreTrainedModel, rows: int, width: int, length: int) -> bool:
        """Whether these buffers serve: longer ones do, as steps see no more of them than they need."""
        return self._model is model and self._shape == (rows, width) and self._length >= length

    def start(self, prompts: Sequence[Sample], visuals: Visuals, pad: int) -> None:
        """Begin with `prompts`, as many as there are rows."""
        _, width = self._shape
        prompt = DynamicCache(config=self._model.config.get_text_config())
        self.first = prefill(self._model, prompts, visuals, pad, prompt)[:, None].expand(-1, width, -1)
        self._begin = _start_positions(prompts, width, self.first.device)
        if self._positions is None:
            self._positions = self._begin.clone()
        self._longest = max(len(item) for item in prompts)
        # Keys and values of the prompts before go: a hidden one that is not finite would spoil a product with 0.
        self._cache.reset()
        for own, layer in zip(self._cache.layers, prompt.layers, strict=True):
            own.view = self._longest
            own.update(layer.keys, layer.values)
        self._mask.fill_(False)
        self._mask[..., : self._longest] = _prompt_mask(prompts, width, self.first.device)

    def feed(self, tokens: Tensor, place: int) -> Tensor:
        """See `Sequences`. The result is overwritten by the next step."""
        _, width = self._shape
        column = self._longest + place * width
        self._mask[..., column : column + width] = self._own
        self._tokens.copy_(tokens)
        torch.add(self._begin, place, out=self._positions)
        view = next(view for view in view_lengths(self._length) if view >= column + width)
        if view in self._steps:
            return self._steps[view]()
        # Before the capture, which is no time for a kernel to be loaded. Capturing itself computes nothing.
        logits = self._compute(view)
        self._steps[view] = self._recorded(view)
        return logits

    def keep(self, rows: Tensor) -> bool:
        """See `Sequences`."""
        return False

    def _compute(self, view: int) -> Tensor:
        """Logits of the step that the buffers hold, over the first `view` places of keys and values."""
        for layer in self._cache.layers:
            layer.view = view
        with distinct_indices():
            return _step(self._model, self._tokens, self._positions, self._cache, self._mask[..., :view])

    def _recorded(self, view: int) -> Callable[[], Tensor]:
        """`_compute` for later steps: the replay of a graph on CUDA."""
        if not self._tokens.is_cuda:
            return partial(self._compute, view)
        graph = torch.cuda.CUDAGraph()
        # NCCL's threads may use CUDA meanwhile.
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            logits = self._compute(view)

        def replay() -> Tensor:
            graph.replay()
            return logits

        return replay


def view_lengths(length: int) -> list[int]:
    """Lengths of the views of buffers of `length` places: `FIRST_VIEW`, doubled as long as it is shorter, and all."""
    views = [FIRST_VIEW]
    while views[-1] < length:
        views.append(2 * views[-1])
    return [*views[:-1], length]


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


def _step(model: PreTrainedModel, tokens: Tensor, positions: Tensor, cache: Cache, mask: Tensor | None) -> Tensor:
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
