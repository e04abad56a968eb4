"""Data order, and what is prepared ahead."""

from collections import Counter

import pytest

from nep.config.sft import Sft
from nep.train.batches import draw, epoch_order, prepared_ahead
from nep.train.sft import SftPlan


def test_epoch_orders_are_permutations_of_their_own() -> None:
    orders = [epoch_order(50, seed=3, epoch=epoch) for epoch in range(3)]
    assert all(sorted(order) == list(range(50)) for order in orders)
    assert orders[0] != orders[1] != orders[2]
    assert orders[0] == epoch_order(50, seed=3, epoch=0) != epoch_order(50, seed=4, epoch=0)


def test_draws_use_each_item_once_an_epoch_even_across_steps() -> None:
    drawn = [index for step in range(7) for index in draw(14, 4, seed=0, step=step)]
    assert Counter(drawn) == dict.fromkeys(range(14), 2)


def test_plan_covers_every_epoch_with_a_smaller_last_batch() -> None:
    plan = SftPlan(10, Sft(batch_size=4, epochs=2), seed=0)
    batches = [plan.batch(step) for step in range(plan.steps)]
    assert [len(batch) for batch in batches] == [4, 4, 2, 4, 4, 2]
    for epoch in (batches[:3], batches[3:]):
        assert sorted(index for batch in epoch for index in batch) == list(range(10))
    assert [plan.epoch(step) for step in (3, 6)] == [1.0, 2.0]


def test_text_only_epochs_come_first_and_are_passes_of_their_own() -> None:
    plan = SftPlan(10, Sft(batch_size=4, epochs=2, text_only_epochs=1), seed=0)
    assert [plan.is_text_only(step) for step in range(plan.steps)] == [True] * 3 + [False] * 6
    orders = [[index for step in range(3) for index in plan.batch(3 * epoch + step)] for epoch in range(3)]
    assert all(sorted(order) == list(range(10)) for order in orders)
    assert not any(SftPlan(10, Sft(), seed=0).is_text_only(step) for step in range(3))


def test_batches_are_prepared_ahead_in_order_and_errors_reach_the_loop() -> None:
    made: list[int] = []

    def prepare(step: int) -> int:
        made.append(step)
        if step == 3:
            raise ValueError("step 3")
        return step * step

    taken = []
    with pytest.raises(ValueError, match="step 3"):
        for step, value in prepared_ahead(range(1, 9), prepare):
            taken.append((step, value))
    assert taken == [(1, 1), (2, 4)]
    assert made[:3] == [1, 2, 3]
    assert list(prepared_ahead(range(0), prepare)) == []
