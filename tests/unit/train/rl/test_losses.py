"""Advantages and losses against naive loops over completions and tokens in fp64, one for each paper's formula.

The loops share no code with the functions; their gradients are autograd's of the naive form.
"""

import itertools
import math
import random
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from nep.config.grpo import Grpo
from nep.model.log_probs import policy_logits, token_entropies, token_log_probs
from nep.train.rl.advantages import ADVANTAGES, advantages_of, zero_variance
from nep.train.rl.losses import CompletionTokens, StepTotals, k3_divergence, normalised, token_losses

TOLERANCE = 1e-5
VOCABULARY, LIMIT = 7, 9
LENGTHS = [1, 4, 9, 2, 6]


@dataclass(frozen=True)
class Case:
    """Logits of each completion's places, (R, V) with gradient; its tokens; old and reference log-probs; advantage."""

    logits: list[Tensor]
    tokens: list[list[int]]
    old: list[list[float]]
    reference: list[list[float]]
    advantages: list[float]


def case(seed: int) -> Case:
    """An off-policy case: ratios far enough from 1 that every clip is met."""
    noise, source = torch.Generator().manual_seed(seed), random.Random(seed)
    logits = [torch.randn(n, VOCABULARY, dtype=torch.float64, generator=noise).requires_grad_() for n in LENGTHS]
    tokens = [[source.randrange(VOCABULARY) for _ in range(n)] for n in LENGTHS]
    taken = [values.log_softmax(-1).detach() for values in logits]
    chosen = [[float(row[t]) for row, t in zip(rows, ts, strict=True)] for rows, ts in zip(taken, tokens, strict=True)]
    return Case(
        logits=logits,
        tokens=tokens,
        old=[[value + source.gauss(0, 0.6) for value in values] for values in chosen],
        reference=[[value + source.gauss(0, 1.5) for value in values] for values in chosen],
        advantages=[source.choice([-1, 1]) * source.uniform(0.2, 2) for _ in LENGTHS],
    )


def naive_loss(made: Case, grpo: Grpo) -> Tensor:
    """The loss of the whole batch by the letter of the papers: a loop over completions, one over their tokens."""
    per_completion = []
    for rows, tokens, old, reference, advantage in zip(
        made.logits, made.tokens, made.old, made.reference, made.advantages, strict=True
    ):
        log_probs = [rows[t].log_softmax(-1)[token] for t, token in enumerate(tokens)]
        log_ratios = [now - before for now, before in zip(log_probs, old, strict=True)]
        if grpo.ratio == "sequence":
            log_ratios = [sum(log_ratios) / len(log_ratios)] * len(log_ratios)
        terms = []
        for t, log_prob in enumerate(log_probs):
            ratio = torch.exp(log_ratios[t])
            clipped = min(max(ratio, torch.tensor(1 - grpo.clip_low)), torch.tensor(1 + grpo.clip_high))
            objective = min(ratio * advantage, clipped * advantage)
            if grpo.dual_clip is not None and advantage < 0:
                objective = max(objective, torch.tensor(grpo.dual_clip * advantage, dtype=torch.float64))
            d = reference[t] - log_prob
            divergence = {"k1": -d, "k2": d**2 / 2, "k3": torch.exp(d) - d - 1}[grpo.kl]
            if grpo.kl == "k3" and divergence > 10:
                divergence = torch.tensor(10.0)
            p = rows[t].softmax(-1)
            entropy = -sum(p[v] * torch.log(p[v]) for v in range(VOCABULARY))
            terms.append(-objective + grpo.kl_coef * divergence - grpo.entropy_coef * entropy)
        per_completion.append(terms)
    everything = [term for terms in per_completion for term in terms]
    if grpo.loss_mean == "token":
        return sum(everything) / len(everything)
    if grpo.loss_mean == "sequence":
        return sum(sum(terms) / len(terms) for terms in per_completion) / len(per_completion)
    return sum(everything) / (len(per_completion) * LIMIT)


def computed_loss(made: Case, grpo: Grpo, chunks: list[list[int]]) -> Tensor:
    """The same from the trainer's functions, its completions dealt to micro-batches."""
    totals = StepTotals(sum(LENGTHS), len(LENGTHS), LIMIT)
    return sum((_share(made, grpo, chunk, totals) for chunk in chunks), start=torch.tensor(0.0))


def _share(made: Case, grpo: Grpo, chunk: list[int], totals: StepTotals) -> Tensor:
    logits = torch.cat([made.logits[i] for i in chunk])
    completion = torch.tensor([number for number, i in enumerate(chunk) for _ in made.tokens[i]])
    batch = CompletionTokens(
        log_probs=token_log_probs(logits, torch.tensor([token for i in chunk for token in made.tokens[i]])),
        old_log_probs=torch.tensor([value for i in chunk for value in made.old[i]], dtype=torch.float64),
        reference_log_probs=torch.tensor([value for i in chunk for value in made.reference[i]], dtype=torch.float64),
        entropies=token_entropies(logits),
        advantages=torch.tensor([made.advantages[i] for i in chunk], dtype=torch.float64)[completion],
        completion=completion,
    )
    losses, _ = token_losses(batch, grpo)
    return normalised(losses, completion, grpo.loss_mean, totals)


GSPO = {"ratio": "sequence", "loss_mean": "sequence", "clip_low": 3e-4, "clip_high": 4e-4}
CHOICES: list[dict[str, Any]] = [
    {},
    *({"loss_mean": mean, "ratio": ratio} for mean, ratio in itertools.product(("sequence", "constant"), ("token",))),
    {"ratio": "sequence", "loss_mean": "token"},
    GSPO,
    {"clip_low": 0.1, "clip_high": 0.4},
    {"dual_clip": 1.5},
    {"dual_clip": 1.05, "ratio": "sequence"},
    {"kl": "k1"},
    {"kl": "k2"},
    {"kl_coef": 0.0, "entropy_coef": 0.0},
]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("choice", CHOICES, ids=str)
def test_losses_and_gradients_equal_the_naive_formulation(choice: dict[str, Any], seed: int) -> None:
    made, grpo = case(seed), Grpo(**{"kl_coef": 0.05, "entropy_coef": 0.02, **choice})
    expected = naive_loss(made, grpo)
    plain = torch.autograd.grad(expected, made.logits)
    for chunks in ([[0, 1, 2, 3, 4]], [[3, 0], [2], [4, 1]]):
        computed = computed_loss(made, grpo, chunks)
        assert computed.item() == pytest.approx(expected.item(), abs=TOLERANCE)
        for ours, theirs in zip(torch.autograd.grad(computed, made.logits), plain, strict=True):
            torch.testing.assert_close(ours, theirs, atol=TOLERANCE, rtol=0)


def test_every_choice_changes_the_loss_of_the_off_policy_case() -> None:
    """Else the comparison above would not notice a choice that is not looked at."""
    made = case(0)
    losses = [naive_loss(made, Grpo(**{"kl_coef": 0.05, "entropy_coef": 0.02, **choice})).item() for choice in CHOICES]
    assert len({round(loss, 7) for loss in losses}) == len(CHOICES)


def naive_advantages(name: str, rewards: list[float]) -> list[float]:
    """By the letter of the papers, a loop for each completion."""
    mean = sum(rewards) / len(rewards)
    if name == "group_mean":
        return [reward - mean for reward in rewards]
    if name == "leave_one_out":
        return [
            reward - sum(other for j, other in enumerate(rewards) if j != i) / (len(rewards) - 1)
            for i, reward in enumerate(rewards)
        ]
    deviation = math.sqrt(sum((reward - mean) ** 2 for reward in rewards) / (len(rewards) - 1))
    return [(reward - mean) / (deviation + 1e-6) for reward in rewards]


@pytest.mark.parametrize("name", ADVANTAGES)
def test_advantages_equal_the_plain_formula(name: str) -> None:
    source = random.Random(0)
    rewards = [[source.choice([0.0, 0.5, 1.0, 1.3]) for _ in range(8)] for _ in range(16)]
    computed = advantages_of(torch.tensor(rewards, dtype=torch.float64), name)
    for row, group in zip(computed.tolist(), rewards, strict=True):
        assert row == pytest.approx(naive_advantages(name, group), abs=TOLERANCE)


@pytest.mark.parametrize("name", ADVANTAGES)
def test_equal_rewards_have_no_advantage_at_all_also_where_their_mean_rounds(name: str) -> None:
    rewards = torch.tensor([[0.1] * 7, [0.0, 1.0, 0.0, 1.0, 1.0, 0.0, 0.0]])
    assert advantages_of(rewards, name)[0].tolist() == [0.0] * 7
    assert zero_variance(rewards).tolist() == [True, False]


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
