"""Advantages and loss terms against loops in plain Python floats (fp64) that share no code with them."""

import math
import random

import pytest
import torch

from nep.train.advantages import group_normalised, zero_variance
from nep.train.losses import (
    clipped_policy_loss,
    grpo_loss,
    k3_divergence,
    policy_logits,
    token_entropies,
    token_log_probs,
)

CLIP, KL_COEF, ENTROPY_COEF = 0.2, 1e-2, 1e-3
TOLERANCE = 1e-6


def plain_softmax(logits: list[float]) -> list[float]:
    top = max(logits)
    weights = [math.exp(value - top) for value in logits]
    return [weight / sum(weights) for weight in weights]


def plain_advantages(rewards: list[float]) -> list[float]:
    mean = sum(rewards) / len(rewards)
    deviation = math.sqrt(sum((reward - mean) ** 2 for reward in rewards) / (len(rewards) - 1))
    return [(reward - mean) / (deviation + 1e-6) for reward in rewards]


def plain_token_loss(
    logits: list[float], token: int, old: float, reference: float, advantage: float
) -> tuple[float, float, float]:
    """Loss, KL and entropy of one token."""
    probabilities = plain_softmax(logits)
    log_prob = math.log(probabilities[token])
    ratio = math.exp(log_prob - old)
    clipped = min(max(ratio, 1 - CLIP), 1 + CLIP)
    policy = max(-advantage * ratio, -advantage * clipped)
    difference = reference - log_prob
    divergence = min(max(math.exp(difference) - difference - 1, -10.0), 10.0)
    entropy = -sum(probability * math.log(probability) for probability in probabilities)
    return policy + KL_COEF * divergence - ENTROPY_COEF * entropy, divergence, entropy


def test_advantages_equal_the_plain_formula() -> None:
    source = random.Random(0)
    rewards = [[source.choice([0.0, 0.5, 1.0]) for _ in range(8)] for _ in range(16)]
    computed = group_normalised(torch.tensor(rewards, dtype=torch.float64))
    for row, group in zip(computed.tolist(), rewards, strict=True):
        assert row == pytest.approx(plain_advantages(group), abs=TOLERANCE)


def test_equal_rewards_have_no_advantage_and_count_as_zero_variance() -> None:
    rewards = torch.tensor([[1.0, 1.0, 1.0], [0.0, 1.0, 0.0]])
    assert group_normalised(rewards)[0].tolist() == [0.0, 0.0, 0.0]
    assert zero_variance(rewards).tolist() == [True, False]


def test_loss_terms_equal_the_plain_formulation_in_fp64() -> None:
    source = random.Random(1)
    rows, plain = [], []
    for _ in range(200):
        logits = [source.gauss(0, 2) for _ in range(7)]
        token, advantage = source.randrange(7), source.gauss(0, 1)
        log_prob = math.log(plain_softmax(logits)[token])
        old, reference = log_prob + source.gauss(0, 0.5), log_prob + source.gauss(0, 3)
        rows.append((logits, token, old, reference, advantage))
        plain.append(plain_token_loss(*rows[-1]))
    logits = torch.tensor([row[0] for row in rows], dtype=torch.float64)
    log_probs = token_log_probs(logits, torch.tensor([row[1] for row in rows]))
    old, reference, advantages = (torch.tensor([row[k] for row in rows], dtype=torch.float64) for k in (2, 3, 4))
    divergence, entropies = k3_divergence(log_probs, reference), token_entropies(logits)
    policy = clipped_policy_loss(log_probs, old, advantages, CLIP)
    loss = grpo_loss(policy, divergence, entropies, KL_COEF, ENTROPY_COEF)
    for tensor, index in ((loss, 0), (divergence, 1), (entropies, 2)):
        assert tensor.tolist() == pytest.approx([row[index] for row in plain], abs=TOLERANCE)
    assert loss.mean().item() == pytest.approx(sum(row[0] for row in plain) / len(plain), abs=TOLERANCE)


def test_gradient_of_the_loss_equals_finite_differences_of_the_plain_one() -> None:
    logits, token, advantage = [0.3, -1.2, 0.8, 0.1], 2, 0.7
    log_prob = math.log(plain_softmax(logits)[token])
    old, reference = log_prob - 0.05, log_prob + 0.4
    tensor = torch.tensor([logits], dtype=torch.float64, requires_grad=True)
    log_probs = token_log_probs(tensor, torch.tensor([token]))
    policy = clipped_policy_loss(
        log_probs,
        torch.tensor([old], dtype=torch.float64),
        torch.tensor([advantage], dtype=torch.float64),
        CLIP,
    )
    divergence = k3_divergence(log_probs, torch.tensor([reference], dtype=torch.float64))
    grpo_loss(policy, divergence, token_entropies(tensor), KL_COEF, ENTROPY_COEF).sum().backward()
    assert tensor.grad is not None
    width = 1e-6
    for index in range(len(logits)):
        sides = []
        for sign in (1, -1):
            moved = list(logits)
            moved[index] += sign * width
            sides.append(plain_token_loss(moved, token, old, reference, advantage)[0])
        assert tensor.grad[0, index].item() == pytest.approx((sides[0] - sides[1]) / (2 * width), abs=1e-6)


def test_far_references_are_clamped_and_keep_finite_gradients() -> None:
    log_probs = torch.tensor([-200.0, -0.1, -50.0], requires_grad=True)
    divergence = k3_divergence(log_probs, torch.tensor([-0.1, -200.0, -50.0]))
    divergence.sum().backward()
    assert divergence.tolist() == [10.0, 10.0, 0.0]
    assert log_probs.grad is not None
    assert log_probs.grad.tolist() == [0.0, 0.0, 0.0]


def test_banned_tokens_have_no_probability_and_finite_gradients() -> None:
    logits = torch.randn(3, 5, generator=torch.Generator().manual_seed(0)).requires_grad_()
    banned = torch.tensor([False, True, False, False, True])
    shaped = policy_logits(logits, banned, temperature=0.5)
    expected = (logits[:, ~banned] / 0.5).softmax(-1)
    torch.testing.assert_close(shaped.softmax(-1)[:, ~banned], expected)
    assert shaped.softmax(-1)[:, banned].sum() == 0
    torch.testing.assert_close(token_entropies(shaped), -(expected * expected.log()).sum(-1))
    (token_entropies(shaped).sum() + token_log_probs(shaped, torch.tensor([0, 2, 3])).sum()).backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    assert (logits.grad[:, banned] == 0).all()
