"""Packed rows against each sequence alone: same losses, same gradients, and no token sees another sequence."""

import random
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention.flex_attention import create_mask, flex_attention
from torch.utils._python_dispatch import TorchDispatchMode

from nep.model import attention, scoring
from nep.model.attention import can_pack, packing_of, tree_mask
from nep.model.packing import PackedRow, Tree, common_prefix, pack_bins, pack_row, split_tree, tree_of, trees_of
from nep.model.samples import Sample, SampleBuilder
from nep.model.scoring import Scorer

CPU = torch.device("cpu")
# Tokens of a row, more than any here.
ROW = 1 << 14


def alone(parts, sample: Sample) -> Tensor:
    """(N,) losses of a sample's labelled tokens from an ordinary forward pass of it alone."""
    logits = parts.model(
        input_ids=sample.input_ids[None],
        position_ids=sample.position_ids[:, None],
        use_cache=False,
        **parts.visuals.inputs(sample.video_keys),
    ).logits[0, sample.prompt_length - 1 : -1]
    return F.cross_entropy(logits, sample.input_ids[sample.prompt_length :], reduction="none")


def losses(parts, row: PackedRow) -> Tensor:
    return -Scorer(parts.model)(row.inputs, row.rows, row.targets)[0]


def gradients(parts, loss: Tensor) -> Tensor:
    """All gradients of the language model as one vector."""
    weights = [parameter for name, parameter in parts.model.named_parameters() if "visual" not in name]
    return torch.cat([gradient.flatten() for gradient in torch.autograd.grad(loss, weights)])


def assert_same(parts, packed: Tensor, plain: Tensor) -> None:
    torch.testing.assert_close(packed, plain, atol=1e-6, rtol=1e-6)
    ours, expected = gradients(parts, packed.mean()), gradients(parts, plain.mean())
    assert (ours - expected).norm() <= 1e-6 * expected.norm()


def with_other_answer(sample: Sample, answer: list[int]) -> Sample:
    tokens = torch.cat([sample.input_ids[: sample.prompt_length], torch.tensor(answer)])
    start = int(sample.position_ids[:, : sample.prompt_length].max()) + 1
    tail = torch.arange(start, start + len(answer)).expand(len(sample.position_ids), -1)
    positions = torch.cat([sample.position_ids[:, : sample.prompt_length], tail], dim=1)
    return replace(sample, input_ids=tokens, position_ids=positions)


def test_a_packed_row_equals_its_samples_alone(parts) -> None:
    samples = parts.dialogues
    assert len({len(sample) for sample in samples}) > 1
    row = pack_row([tree_of([sample]) for sample in samples], parts.visuals, True, CPU)
    assert row.inputs["input_ids"].shape[1] == sum(len(sample) - 1 for sample in samples)
    assert_same(parts, losses(parts, row), torch.cat([alone(parts, sample) for sample in samples]))


def test_targets_of_one_video_share_their_prefix(parts) -> None:
    first, other = parts.dialogues[:2]
    longer = with_other_answer(first, [30, 31, 32, 33, 34])
    samples = [first, other, longer]
    trees = trees_of(samples, ROW)
    assert [len(tree.branches) for tree in trees] == [2, 1]
    assert sum(map(len, trees)) < sum(len(sample) - 1 for sample in samples) - first.prompt_length + 2
    row = pack_row(trees, parts.visuals, True, CPU)
    assert_same(parts, losses(parts, row), torch.cat([alone(parts, sample) for sample in (first, longer, other)]))


def test_a_video_is_shared_under_one_system_message_only(parts) -> None:
    """The targets of Mix: those of next_event have no system message, those of the other two one of their own."""
    builder = SampleBuilder(parts.processor, parts.model, parts.cache)
    turns = [{"role": "user", "content": "<video>What next?"}, {"role": "assistant", "content": "A cup falls."}]
    systems = [None, "Think about the red ball.", "Think about the door.", None, "Think about the red ball."]
    samples = [
        builder.dialogue(
            str(index), [*([{"role": "system", "content": text}] if text else []), *turns], ("video-0/first",)
        )
        for index, text in enumerate(systems)
    ]
    visual = parts.cache.placeholder("video-0/first").token_id(parts.processor)
    assert all(sample.input_ids[sample.visual_end - 1] == visual for sample in samples)
    assert not any((sample.input_ids[sample.visual_end :] == visual).any() for sample in samples)
    trees = trees_of(samples, ROW)
    assert [len(tree.branches) for tree in trees] == [2, 2, 1]
    row = pack_row(trees, parts.visuals, True, CPU)
    assert_same(parts, losses(parts, row), torch.cat([alone(parts, samples[index]) for index in (0, 3, 1, 4, 2)]))


def test_samples_without_a_video_stand_alone(parts) -> None:
    sample = replace(parts.dialogues[0], video_keys=())
    trees = trees_of([sample, with_other_answer(sample, [30, 31])], ROW)
    assert [len(tree.branches) for tree in trees] == [1, 1]


def test_a_tree_is_no_longer_than_a_row(parts) -> None:
    """Targets of one video that do not fit into a row are in several, with the same losses and gradients."""
    sample = parts.dialogues[0]
    samples = [with_other_answer(sample, [30 + i, 31, 32, 33]) for i in range(5)]
    limit = sample.prompt_length + 7
    trees = trees_of(samples, limit)
    assert [len(tree.branches) for tree in trees] == [2, 2, 1]
    assert max(map(len, trees)) <= limit
    row = pack_row(trees, parts.visuals, True, CPU)
    assert_same(parts, losses(parts, row), torch.cat([alone(parts, sample) for sample in samples]))
    assert [len(tree.branches) for tree in split_tree(tree_of(samples), 1)] == [1] * 5


def test_a_shared_prefix_ends_where_prompts_part(parts) -> None:
    """Different questions about one video share what comes before them; the rest of each prompt has no labels."""
    sample = parts.dialogues[0]
    changed = sample.input_ids.clone()
    changed[sample.prompt_length - 2] = 40
    other = replace(sample, input_ids=changed)
    assert common_prefix(sample, other) == sample.prompt_length - 2
    row = pack_row([tree_of([sample, other])], parts.visuals, True, CPU)
    assert_same(parts, losses(parts, row), torch.cat([alone(parts, sample), alone(parts, other)]))


def test_other_positions_are_not_shared(parts) -> None:
    sample = parts.dialogues[0]
    moved = replace(sample, position_ids=sample.position_ids + 1)
    assert common_prefix(sample, moved) == 0


def test_a_model_that_cannot_pack_gets_one_sequence_a_row(parts) -> None:
    sample = parts.dialogues[0]
    tree = tree_of([sample, with_other_answer(sample, [30, 31])])
    for single in split_tree(tree, 1):
        row = pack_row([single], parts.visuals, False, CPU)
        assert "packing" not in row.inputs
    with pytest.raises(ValueError, match="several sequences"):
        pack_row([tree], parts.visuals, False, CPU)
    text = parts.model.config.get_text_config()
    assert can_pack(parts.model.config)
    kinds, text.layer_types = text.layer_types, ["full_attention", "linear_attention"]
    try:
        assert not can_pack(parts.model.config)
    finally:
        text.layer_types = kinds


def test_chunks_do_not_change_scores_or_gradients(parts, monkeypatch: pytest.MonkeyPatch) -> None:
    row = pack_row([tree_of([sample]) for sample in parts.dialogues], parts.visuals, True, CPU)
    whole = losses(parts, row)
    expected = gradients(parts, whole.mean())
    monkeypatch.setattr(scoring, "CHUNK", 3)
    chunked = losses(parts, row)
    assert len(chunked) > 3
    torch.testing.assert_close(chunked, whole, atol=1e-6, rtol=1e-6)
    assert (gradients(parts, chunked.mean()) - expected).norm() <= 1e-6 * expected.norm()


def test_the_block_mask_of_a_row_is_that_of_its_trees() -> None:
    """The mask that CUDA kernels get, spelled out, against the dense masks of the trees and nothing between them."""
    prefixes, branches = [5, 3, 1], [[2, 4], [6], [0, 3, 1]]
    dense = torch.block_diag(
        *(tree_mask(prefix, parts)[0, 0].int() for prefix, parts in zip(prefixes, branches, strict=True))
    ).bool()
    packing = packing_of(prefixes, branches, torch.device("cpu"))
    assert packing.lengths == (11, 9, 5)
    assert [mask is None for mask in packing.masks] == [False, True, False]
    block = attention._block_mask(prefixes, branches, CPU)
    assert torch.equal(create_mask(block.mask_mod, None, None, 25, 25, device="cpu")[0, 0], dense)


class Largest(TorchDispatchMode):
    """Elements of the largest tensor that an operation has made."""

    elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        if isinstance(made, torch.Tensor):
            self.elements = max(self.elements, made.numel())
        return made


def test_a_block_mask_is_made_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    prefixes, branches, length = [150, 300, 20], [[140, 60], [250], [30, 10, 5]], 965
    whole = attention._block_mask(prefixes, branches, CPU)
    monkeypatch.setattr(attention, "MASK_ROWS", 256)
    with Largest() as largest:
        pieced = attention._block_mask(prefixes, branches, CPU)
    # A mask is filled up to whole blocks.
    assert largest.elements == 256 * 1024
    assert pieced.shape == whole.shape == (1, 1, length, length)
    for ours, theirs in zip(pieced.as_tuple(), whole.as_tuple(), strict=True):
        assert torch.equal(ours, theirs) if isinstance(ours, torch.Tensor) else callable(ours) or ours == theirs


def test_seven_heads_of_queries_share_one_of_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """What CUDA takes for a row, uncompiled: the output and all gradients are those of dense masks, tree by tree."""
    prefixes, branches = [40, 25], [[30, 20], [60]]
    # torch refuses gradients on CPUs, which its compiled kernels lack; what is computed here has them.
    monkeypatch.setattr("torch.nn.attention.flex_attention._validate_device", lambda *tensors: None)

    def uncompiled(*tensors: Tensor, training: bool, **rest: Any) -> Tensor:
        return flex_attention(*tensors, **rest)

    monkeypatch.setattr(attention, "compile_friendly_flex_attention", uncompiled)
    noise = torch.Generator().manual_seed(0)
    query, target = torch.randn(2, 1, 14, 175, 16, generator=noise)
    key, value = torch.randn(2, 1, 2, 175, 16, generator=noise)
    packing = packing_of(prefixes, branches, CPU)
    on_cuda = replace(packing, masks=(None,) * 2, block_mask=attention._block_mask(prefixes, branches, CPU))
    module = torch.nn.Module()
    module.num_key_value_groups = 7
    found = []
    for form in (on_cuda, packing):
        leaves = [tensor.clone().requires_grad_() for tensor in (query, key, value)]
        output, _ = attention.packed_attention(module, *leaves, None, packing=form, scaling=0.25)
        (output * target.transpose(1, 2)).sum().backward()
        found.append([output.detach(), *(leaf.grad for leaf in leaves)])
    for ours, dense in zip(*found, strict=True):
        torch.testing.assert_close(ours, dense, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("ranks", "limit"), [(1, 1000), (2, 300), (3, 120), (4, 1)])
def test_packs_are_even_within_the_limit_and_lose_nothing(ranks: int, limit: int) -> None:
    draw = random.Random(f"{ranks}/{limit}")
    items = [draw.randint(10, 200) for _ in range(37)]
    dealt = pack_bins(items, ranks, limit, lambda item: item)
    assert len(dealt) == ranks
    assert len({len(packs) for packs in dealt}) == 1
    packs = [pack for of_rank in dealt for pack in of_rank]
    assert sorted(item for pack in packs for item in pack) == sorted(items)
    assert all(sum(pack) <= limit or len(pack) == 1 for pack in packs)
    if limit >= 300:
        sums = [sum(pack) for pack in packs]
        assert max(sums) - min(sums) <= max(items)


def test_a_rank_without_items_gets_an_empty_pack() -> None:
    assert pack_bins([7], 3, 10, lambda item: item) == [[[7]], [[]], [[]]]


def test_a_tree_counts_what_is_fed_and_what_is_labelled(parts) -> None:
    sample = parts.dialogues[0]
    tree: Tree = tree_of([sample])
    assert len(tree) == len(sample) - 1
    assert tree.labelled == sample.labelled
