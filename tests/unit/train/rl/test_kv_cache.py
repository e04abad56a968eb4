"""Rows leave the batch when they end; buffers of fixed size serve again, and their step can be captured."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import AutoConfig, AutoModelForImageTextToText

from nep.model.attention import packed_attention
from nep.model.samples import Sample
from nep.model.scoring import Scorer
from nep.train.rl import kv_cache
from nep.train.rl.decoding import decoding_for, uniforms
from nep.train.rl.kv_cache import CudaGraphCache
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

    def _capture(self) -> None:
        with Operations() as self.operations:
            self._compute()


class NoVisuals:
    """Prompts of text."""

    def inputs(self, keys: list[str]) -> dict[str, torch.Tensor]:
        """No model inputs."""
        return {}


def draws_for(prompts, step: int) -> torch.Tensor:
    return torch.stack([uniforms(0, step, slot, prompt, WIDTH, LIMIT) for slot, prompt in enumerate(prompts)])


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
    assert rows.first.is_cuda
    assert len(rows.operations.names) > 100
    assert rows.operations.on_host == []


def test_grouped_heads_attend_as_repeated_ones() -> None:
    noise = torch.Generator().manual_seed(0)
    query = torch.randn(2, 6, 3, 8, generator=noise)
    key, value = torch.randn(2, 2, 2, 9, 8, generator=noise)
    mask = torch.rand(2, 1, 3, 9, generator=noise) < 0.5
    mask[..., 0] = True
    repeated = [tensor.repeat_interleave(3, dim=1) for tensor in (key, value)]
    expected = functional.scaled_dot_product_attention(query, *repeated, attn_mask=mask, scale=0.3).transpose(1, 2)
    found, _ = packed_attention(torch.nn.Module(), query, key, value, mask, scaling=0.3)
    torch.testing.assert_close(found, expected)
