"""Rows leave the batch when they end; buffers of fixed size serve again, and their step can be captured."""

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from nep.train.decoding import decoding_for, uniforms
from nep.train.rollout import Rollout
from nep.train.sequences import CapturedRows

LIMIT, WIDTH = 8, 2
READ_BY_THE_HOST = ("_local_scalar_dense", "nonzero", "masked_select", "unique")


class Operations(TorchDispatchMode):
    """Names of all operations that run in it."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.append(str(func))
        return func(*args, **(kwargs or {}))


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
    rows = CapturedRows(parts.model, 3, WIDTH, CapturedRows.length_for(prompts, WIDTH, LIMIT))
    with torch.no_grad():
        rows.start(prompts, parts.visuals, 0)
        with Operations() as operations:
            rows.feed(torch.zeros(3, WIDTH, dtype=torch.long), 0)
    assert len(operations.names) > 100
    assert not [name for name in operations.names if any(word in name for word in READ_BY_THE_HOST)]
