"""Weights for an engine whose log-probs differ, and what a step says of them, against loops over completions."""

import math
import random

import pytest
import torch
from torch import Tensor

from nep.config.grpo import Grpo, Mismatch
from nep.train.rl.losses import CompletionTokens, StepTotals, normalised, token_losses
from nep.train.rl.mismatch import Sampled, Tally, figures, weights

LENGTHS = [1, 4, 9, 2, 6]
CHOICES = [
    *({"correct": correct, "level": level} for correct in ("truncate", "mask") for level in ("token", "sequence")),
    {"correct": "truncate", "high": 1.2},
    {"correct": "mask", "low": 0.9, "high": 1.1},
]


def case(seed: int, deviation: float = 0.5) -> tuple[list[list[float]], list[list[float]]]:
    """Log-probs of each completion's tokens under trainer and engine."""
    source = random.Random(seed)
    trainer = [[-source.expovariate(1.0) for _ in range(length)] for length in LENGTHS]
    return trainer, [[value + source.gauss(0, deviation) for value in row] for row in trainer]


def sampled(trainer: list[list[float]], engine: list[list[float]]) -> Sampled:
    flat = [torch.tensor([value for row in rows for value in row], dtype=torch.float64) for rows in (trainer, engine)]
    return Sampled(*flat, torch.arange(len(trainer)).repeat_interleave(torch.tensor([len(row) for row in trainer])))


def naive_weights(trainer: list[list[float]], engine: list[list[float]], mismatch: Mismatch) -> list[list[float]]:
    """By the letter: π_trainer / π_engine of each token, or their product, cut off or left out."""
    found = []
    for ours, theirs in zip(trainer, engine, strict=True):
        ratios = [math.exp(a) / math.exp(b) for a, b in zip(ours, theirs, strict=True)]
        if mismatch.level == "sequence":
            ratios = [math.prod(ratios)] * len(ratios)
        if mismatch.correct == "truncate":
            found.append([min(ratio, mismatch.high) for ratio in ratios])
        else:
            found.append([ratio if mismatch.low <= ratio <= mismatch.high else 0.0 for ratio in ratios])
    return found


@pytest.mark.parametrize("choice", CHOICES, ids=str)
@pytest.mark.parametrize("seed", range(3))
def test_weights_equal_the_plain_formula(choice: dict, seed: int) -> None:
    mismatch, (trainer, engine) = Mismatch(**choice), case(seed)
    expected = [value for row in naive_weights(trainer, engine, mismatch) for value in row]
    assert weights(sampled(trainer, engine), mismatch).tolist() == pytest.approx(expected)


def test_every_choice_gives_other_weights() -> None:
    """Else the comparison above would not notice a choice that is not looked at."""
    found = {tuple(weights(sampled(*case(0)), Mismatch(**choice)).tolist()) for choice in CHOICES}
    assert len(found) == len(CHOICES)


def test_far_log_probs_have_finite_weights() -> None:
    pair = sampled([[-0.1] * 2000], [[-60.0] * 2000])
    for choice in CHOICES:
        assert weights(pair, Mismatch(**choice)).isfinite().all()
    tally = Tally()
    tally.add(pair, None)
    assert all(math.isfinite(value) for value in figures(tally).values())


@pytest.mark.parametrize("choice", CHOICES, ids=str)
def test_the_policy_term_alone_is_weighted_and_no_gradient_goes_through_the_weights(choice: dict) -> None:
    grpo = Grpo(rollout="vllm", kl_coef=0.05, entropy_coef=0.02, mismatch=choice)
    trainer, engine = case(1)
    pair, noise = sampled(trainer, engine), random.Random(2)
    logits = pair.trainer.clone().requires_grad_()
    advantages = [noise.gauss(0, 1) for _ in LENGTHS]
    batch = CompletionTokens(
        log_probs=logits,
        old_log_probs=pair.trainer,
        reference_log_probs=pair.trainer + 0.3,
        entropies=logits.square(),
        advantages=torch.tensor(advantages, dtype=torch.float64)[pair.completion],
        completion=pair.completion,
        engine_log_probs=pair.engine,
    )
    losses, _ = token_losses(batch, grpo)
    loss = normalised(losses, batch.completion, "token", StepTotals(sum(LENGTHS), len(LENGTHS), 9))

    expected: Tensor = torch.tensor(0.0)
    plain = pair.trainer.clone().requires_grad_()
    place = 0
    for row, advantage in zip(naive_weights(trainer, engine, grpo.mismatch), advantages, strict=True):
        for weight in row:
            ratio = torch.exp(plain[place] - plain[place].detach())
            d = (plain[place].detach() + 0.3) - plain[place]
            expected = expected - weight * advantage * ratio + 0.05 * (torch.exp(d) - d - 1) - 0.02 * plain[place] ** 2
            place += 1
    expected = expected / place
    assert loss.item() == pytest.approx(expected.item())
    for ours, theirs in zip(torch.autograd.grad(loss, logits), torch.autograd.grad(expected, plain), strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("choice", [None, *CHOICES], ids=str)
def test_figures_of_a_step_are_those_of_all_its_tokens(choice: dict | None) -> None:
    mismatch = Mismatch(**choice) if choice else None
    parts, tally = [case(seed) for seed in range(3)], Tally()
    for part in parts:
        tally.add(sampled(*part), mismatch)
    ratios, cut, divergences = [], 0, []
    for trainer, engine in parts:
        given = naive_weights(trainer, engine, mismatch) if mismatch else None
        for number, (ours, theirs) in enumerate(zip(trainer, engine, strict=True)):
            r = [math.exp(a - b) for a, b in zip(ours, theirs, strict=True)]
            divergences += [value - 1 - math.log(value) for value in r]
            if mismatch and mismatch.level == "sequence":
                r = [math.prod(r)] * len(r)
            ratios += r
            if given:
                cut += sum(abs(weight - ratio) > 1e-9 for weight, ratio in zip(given[number], r, strict=True))
    assert figures(tally) == pytest.approx(
        {
            "engine_ratio": sum(ratios) / len(ratios),
            "engine_ratio_max": max(ratios),
            "engine_corrected": cut / len(ratios),
            "engine_kl": sum(divergences) / len(divergences),
        }
    )
    assert bool(cut) == bool(mismatch)


def test_a_step_that_scores_no_token_has_no_figures() -> None:
    assert all(math.isnan(value) for value in figures(Tally()).values())


def test_the_same_log_probs_have_weights_of_one() -> None:
    trainer, _ = case(0)
    for choice in CHOICES:
        assert weights(sampled(trainer, trainer), Mismatch(**choice)).tolist() == [1.0] * sum(LENGTHS)
