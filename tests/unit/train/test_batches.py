"""Data order, dealing, and padded batches without leaks."""

from collections import Counter

import pytest
import torch
from torch.nn import functional as F

from nep.config import Sft
from nep.train.batches import deal, draw, epoch_order, micro_batch_count, sft_micro_batch
from nep.train.sft import SftPlan


def test_epoch_orders_are_permutations_of_their_own() -> None:
    orders = [epoch_order(50, seed=3, epoch=epoch) for epoch in range(3)]
    assert all(sorted(order) == list(range(50)) for order in orders)
    assert orders[0] != orders[1] != orders[2]
    assert orders[0] == epoch_order(50, seed=3, epoch=0) != epoch_order(50, seed=4, epoch=0)


def test_draws_use_each_item_once_an_epoch_even_across_steps() -> None:
    drawn = [index for step in range(7) for index in draw(14, 4, seed=0, step=step)]
    assert Counter(drawn) == dict.fromkeys(range(14), 2)


@pytest.mark.parametrize(("items", "size", "ranks"), [(16, 4, 2), (5, 4, 2), (1, 4, 2), (7, 2, 3), (3, 8, 1)])
def test_dealing_loses_nothing_and_keeps_sizes_even(items: int, size: int, ranks: int) -> None:
    count = micro_batch_count(items, size, ranks) * ranks
    chunks = deal(list(range(items)), count, lambda item: item)
    assert sorted(item for chunk in chunks for item in chunk) == list(range(items))
    assert len(chunks) == count
    assert max(map(len, chunks)) <= size
    assert max(map(len, chunks)) - min(map(len, chunks)) <= 1


def test_plan_covers_every_epoch_with_a_smaller_last_batch() -> None:
    plan = SftPlan(10, Sft(batch_size=4, epochs=2), seed=0)
    batches = [plan.batch(step) for step in range(plan.steps)]
    assert [len(batch) for batch in batches] == [4, 4, 2, 4, 4, 2]
    for epoch in (batches[:3], batches[3:]):
        assert sorted(index for batch in epoch for index in batch) == list(range(10))
    assert [plan.epoch(step) for step in (3, 6)] == [1.0, 2.0]


def test_padded_losses_equal_those_of_each_sample_alone(parts) -> None:
    """No leak between samples or from pads; also the kept logits are those that predict the labels."""
    samples = parts.dialogues
    assert len({len(sample) for sample in samples}) > 1
    device = torch.device("cpu")
    micro = sft_micro_batch(samples, parts.visuals, pad=0, device=device)
    with torch.no_grad():
        together = F.cross_entropy(parts.model(**micro.inputs).logits, micro.targets, reduction="none")
        alone = []
        for sample in samples:
            inputs = {
                "input_ids": sample.input_ids[None],
                "position_ids": sample.position_ids[:, None],
                **parts.visuals.inputs(sample.video_keys),
            }
            logits = parts.model(**inputs).logits[0, sample.prompt_length - 1 : -1]
            alone.append(F.cross_entropy(logits, sample.input_ids[sample.prompt_length :], reduction="none"))
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-5, rtol=0)
    assert micro.targets.tolist() == [
        token for sample in samples for token in sample.input_ids[sample.prompt_length :].tolist()
    ]
