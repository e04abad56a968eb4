"""Repeated completions, and the warning of an entropy that collapses."""

import torch

from nep.train.rl.diagnostics import EntropyWatch, repeated
from nep.train.rl.rollout import Completion


def completion(*tokens: int) -> Completion:
    return Completion(torch.tensor(tokens), torch.zeros(len(tokens)), torch.zeros(len(tokens)), finished=True)


def test_completions_that_equal_another_one_of_their_group_are_counted() -> None:
    assert repeated([completion(1, 2), completion(1), completion(1, 2), completion(3), completion(1, 2)]) == 3
    assert repeated([completion(1, 2), completion(2, 1)]) == 0


def test_a_fall_below_the_floor_is_told_once() -> None:
    watch = EntropyWatch(0.1, [])
    told = [watch.warning(value) is not None for value in (2.0, 1.0, 0.21, 0.19, 0.1, 0.3, 0.15)]
    assert told == [False, False, False, True, False, False, True]


def test_a_resumed_run_compares_with_its_first_step() -> None:
    assert "below 0.1 of the first step's 2.0000" in str(EntropyWatch(0.1, [2.0, 0.5]).warning(0.1))
    assert EntropyWatch(0.1, [2.0, 0.1]).warning(0.1) is None
    assert EntropyWatch(0.0, [2.0]).warning(0.0) is None
