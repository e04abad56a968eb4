"""Rows leave the batch when they end; buffers of fixed size serve again, and their step can be captured."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import AutoConfig, AutoModelForImageTextToText

from nep.model import attention
from nep.model.attention import grouped_attention, masked_products, packed_attention
from nep.model.samples import Sample
from nep.model.scoring import Scorer
from nep.train.rl import kv_cache, rollout
from nep.train.rl.decoding import decoding_for, uniforms
from nep.train.rl.kv_cache import CudaGraphCache, view_lengths
from nep.train.rl.rollout import Rollout

LIMIT, WIDTH = 8, 2
READ_BY_THE_HOST = ("_local_scalar_dense", "nonzero", "masked_select", "unique")


class Operations(TorchDispatchMode):
    """Names of all operations that run in it, and of those with a tensor on the host."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []
        self.on_host: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        self.names.append(str(func))
        tensors = [leaf for leaf in tree_leaves((args, kwargs, made)) if isinstance(leaf, torch.Tensor)]
        if any(tensor.device.type == "cpu" for tensor in tensors):
            self.on_host.append(str(func))
        return made


class TracedRows(CudaGraphCache):
    """Rows that trace the step in the place of the capture."""

    def _recorded(self, view: int) -> Callable[[], torch.Tensor]:
        with Operations() as self.operations:
            self._compute(view)
        return partial(self._compute, view)


class CountedRows(CudaGraphCache):
    """Rows that write down for which views a step is captured, and over which view each step goes."""

    captured: ClassVar[list[int]]
    computed: ClassVar[list[int]]

    def _recorded(self, view: int) -> Callable[[], torch.Tensor]:
        self.captured.append(view)
        return super()._recorded(view)

    def _compute(self, view: int) -> torch.Tensor:
        self.computed.append(view)
        return super()._compute(view)


class NoVisuals:
    """Prompts of text."""

    def inputs(self, keys: list[str]) -> dict[str, torch.Tensor]:
        """No model inputs."""
        return {}


def draws_for(prompts, step: int, limit: int = LIMIT) -> torch.Tensor:
    return torch.stack([uniforms(0, step, slot, prompt, WIDTH, limit) for slot, prompt in enumerate(prompts)])


def text_prompt(length: int) -> Sample:
    return Sample(f"{length}", torch.arange(20, 20 + length), torch.arange(length).expand(3, -1), length, (), 0)


def tokens(groups) -> list[list[int]]:
    return [completion.tokens.tolist() for group in groups for completion in group]


def test_a_prompt_whose_completions_have_ended_leaves_the_batch(parts) -> None:
    decoding = decoding_for(parts.model, parts.processor, 1.0, LIMIT)
    first = Rollout(decoding, captured=False)(parts.model, parts.prompts[:3], parts.visuals, draws=None)
    # The token that one completion alone begins with ends it at once.
    starts = [group[0].tokens[0].item() for group in first]
    ends = torch.zeros_like(decoding.ends)
    ends[starts[0]] = True
    gone = sum(start == starts[0] for start in starts)
    fed: list[int] = []
    handle = parts.model.register_forward_pre_hook(
        lambda module, args, kwargs: fed.append(len(kwargs["input_ids"])), with_kwargs=True
    )
    ending = type(decoding)(decoding.banned, ends, decoding.temperature, LIMIT, decoding.pad)
    try:
        groups = Rollout(ending, captured=False)(parts.model, parts.prompts[:3], parts.visuals, draws=None)
    finally:
        handle.remove()
    assert all(rows <= 3 - gone for rows in fed)
    for (whole,), (cut,) in zip(first, groups, strict=True):
        said = whole.tokens.tolist()
        stop = said.index(starts[0]) + 1 if starts[0] in said else len(said)
        assert cut.tokens.tolist() == said[:stop]


def test_buffers_serve_other_prompts_of_the_same_shape(parts) -> None:
    decoding = decoding_for(parts.model, parts.processor, 1.0, LIMIT)
    fixed, used = Rollout(decoding, captured=True), set()
    for step, prompts in enumerate((parts.prompts[:3], parts.prompts[3:6])):
        expected = Rollout(decoding, captured=False)(parts.model, prompts, parts.visuals, draws_for(prompts, step))
        made = fixed(parts.model, prompts, parts.visuals, draws_for(prompts, step))
        assert tokens(made) == tokens(expected)
        used.add(fixed._rows)
    assert len(used) == 1


def test_steps_see_the_shortest_view_that_holds_all_tokens_and_each_is_captured_once(
    parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Longer prompts first: the same buffers then serve shorter ones, and the tokens are those of growing ones."""
    monkeypatch.setattr(kv_cache, "FIRST_VIEW", 64)
    monkeypatch.setattr(rollout, "CudaGraphCache", CountedRows)
    monkeypatch.setattr(CountedRows, "captured", [], raising=False)
    limit = 40
    decoding = decoding_for(parts.model, parts.processor, 1.0, limit)
    decoding = replace(decoding, ends=torch.zeros_like(decoding.ends))
    fixed, growing = Rollout(decoding, captured=True), Rollout(decoding, captured=False)
    buffers = set()
    for prompts, longest in ((parts.prompts[:2], 69), ([text_prompt(9), text_prompt(40)], 40)):
        monkeypatch.setattr(CountedRows, "computed", [], raising=False)
        draws = draws_for(prompts, 0, limit)
        made = fixed(parts.model, prompts, parts.visuals, draws)
        assert tokens(made) == tokens(growing(parts.model, prompts, parts.visuals, draws))
        ends = [longest + WIDTH * (place + 1) for place in range(limit - 1)]
        assert CountedRows.computed == [next(view for view in (64, 128, 256) if view >= end) for end in ends]
        buffers |= {(layer.keys.data_ptr(), layer.values.data_ptr()) for layer in fixed._rows._cache.layers}
    assert len(buffers) == parts.model.config.text_config.num_hidden_layers
    assert CountedRows.captured == [128, 256, 64]


@pytest.mark.parametrize(
    ("length", "views"),
    [(256, [256]), (2048, [2048]), (2304, [2048, 2304]), (17152, [2048, 4096, 8192, 16384, 17152])],
)
def test_views_double_up_to_the_buffers(length: int, views: list[int]) -> None:
    assert view_lengths(length) == views


def test_the_step_of_fixed_buffers_reads_nothing_on_the_host(parts) -> None:
    """What a captured graph must not do."""
    prompts = parts.prompts[:3]
    rows = CudaGraphCache(parts.model, 3, WIDTH, CudaGraphCache.length_for(prompts, WIDTH, LIMIT))
    with torch.no_grad():
        rows.start(prompts, parts.visuals, 0)
        with Operations() as operations:
            rows.feed(torch.zeros(3, WIDTH, dtype=torch.long), 0)
    assert len(operations.names) > 100
    assert not [name for name in operations.names if any(word in name for word in READ_BY_THE_HOST)]


def test_the_step_on_cuda_takes_nothing_from_the_host(tiny_checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """Traced on CUDA tensors without storage, which torch makes on any machine: a captured graph cannot copy."""
    # The largest position of a prompt of text, which a tensor without storage cannot tell.
    monkeypatch.setattr(kv_cache, "next_position", len)
    prompts = [
        Sample("", torch.zeros(n, dtype=torch.long), torch.zeros(3, n, dtype=torch.long), n, (), 0) for n in (5, 7)
    ]
    with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
        with torch.device("cuda"):
            model = AutoModelForImageTextToText.from_config(AutoConfig.from_pretrained(tiny_checkpoint)).eval()
        rows = TracedRows(Scorer(model).model, 2, WIDTH, CudaGraphCache.length_for(prompts, WIDTH, LIMIT))
        rows.start(prompts, NoVisuals(), 0)
        rows.feed(torch.zeros(2, WIDTH, dtype=torch.long, device="cuda"), 0)
    assert rows.first.is_cuda
    assert len(rows.operations.names) > 100
    assert rows.operations.on_host == []


def heads(dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """A query of 6 heads, keys and values of 2, and a mask in which no query sees nothing."""
    noise = torch.Generator().manual_seed(0)
    query = torch.randn(2, 6, 3, 16, generator=noise).to(dtype)
    key, value = torch.randn(2, 2, 2, 300, 16, generator=noise).to(dtype)
    mask = torch.rand(2, 1, 3, 300, generator=noise) < 0.5
    mask[..., 0] = True
    return query, key, value, mask


def repeated(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """SDPA of keys and values that are written once for each head of the queries."""
    key, value = (tensor.repeat_interleave(3, dim=1) for tensor in (key, value))
    return functional.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=0.3).transpose(1, 2)


def test_grouped_heads_attend_as_repeated_ones() -> None:
    query, key, value, mask = heads(torch.float32)
    found, _ = packed_attention(torch.nn.Module(), query, key, value, mask, scaling=0.3)
    torch.testing.assert_close(found, repeated(query, key, value, mask))


@pytest.mark.parametrize(("dtype", "error"), [(torch.float32, 1e-6), (torch.bfloat16, 1e-2)])
def test_products_attend_as_sdpa_does(monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype, error: float) -> None:
    """The form that CUDA takes, against SDPA in the same precision; both against fp64, near which it must stay too."""
    query, key, value, mask = heads(dtype)
    exact = repeated(query.double(), key.double(), value.double(), mask)
    monkeypatch.setattr(functional, "scaled_dot_product_attention", masked_products)
    found = grouped_attention(query, key, value, mask, scaling=0.3)
    monkeypatch.undo()
    assert found.dtype == dtype
    for other in (repeated(query, key, value, mask).double(), exact):
        assert (found - other).norm() <= error * exact.norm()


@pytest.mark.parametrize(("device", "products"), [("cpu", 0), ("cuda", 1)])
def test_cuda_takes_products_and_a_cpu_sdpa(monkeypatch: pytest.MonkeyPatch, device: str, products: int) -> None:
    calls = []

    def counted(*tensors: torch.Tensor, **options: Any) -> torch.Tensor:
        calls.append(len(tensors))
        return masked_products(*tensors, **options)

    monkeypatch.setattr(attention, "masked_products", counted)
    with FakeTensorMode(allow_non_fake_inputs=True):
        tensors = [tensor.to(device) for tensor in heads(torch.bfloat16)]
        found, _ = packed_attention(torch.nn.Module(), *tensors, scaling=0.3)
    assert found.shape == (2, 3, 6, 16)
    assert len(calls) == products
