"""A GRPO step of the trainer against the plain one: no cache, no shared prompt, no packed row, no shortcut."""

import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from support.gradient_step import update_of
from torch import Tensor
from transformers import PreTrainedModel

from nep.config.grpo import Grpo
from nep.data.selection import dataset_files
from nep.errors import InputError
from nep.model.param_groups import freeze
from nep.model.samples import Sample
from nep.model.scoring import Scorer
from nep.train.engine import load_model
from nep.train.rl import grpo as trainer_module
from nep.train.rl import start_rollouts
from nep.train.rl.decoding import Decoding, pick
from nep.train.rl.experience import Experience
from nep.train.rl.grpo import GrpoTrainer
from nep.train.rl.rewards import Rewards
from nep.train.rl.rollout import Completion, Rollout, RolloutEngine

STEP = {
    "prompts_per_step": 3,
    "completions": 3,
    "max_new_tokens": 5,
    "temperature": 0.8,
    "lr": 1.0,
    "weight_decay": 0.0,
    "grad_clip": 1e9,
    "threads": 1,
    "rewards": {"support.own_rewards:parity": 1.0},
}


def plain_logits(model: PreTrainedModel, visuals, prompt: Sample, tokens: Tensor) -> Tensor:
    """(R, V) logits of a completion's places, from one pass over prompt and completion alone."""
    start = int(prompt.position_ids.max()) + 1
    tail = torch.arange(start, start + len(tokens)).expand(len(prompt.position_ids), -1)
    return model(
        input_ids=torch.cat([prompt.input_ids, tokens])[None],
        position_ids=torch.cat([prompt.position_ids, tail], dim=1)[:, None],
        use_cache=False,
        **visuals.inputs(prompt.video_keys),
    ).logits[0, len(prompt) - 1 : -1]


def log_distribution(logits: Tensor, decoding: Decoding) -> Tensor:
    return (logits / decoding.temperature).masked_fill(decoding.banned, -1e30).log_softmax(-1)


class PlainRollout(RolloutEngine):
    """Another engine: each completion alone, the whole sequence again for each token."""

    def __init__(self, decoding: Decoding, captured: bool) -> None:
        self._decoding = decoding

    @torch.no_grad()
    def __call__(self, model, prompts, visuals, draws) -> list[list[Completion]]:
        drawn = [[None]] * len(prompts) if draws is None else draws
        return [
            [self._completion(model, prompt, visuals, numbers) for numbers in group]
            for prompt, group in zip(prompts, drawn, strict=True)
        ]

    def _completion(self, model, prompt: Sample, visuals, numbers: Tensor | None) -> Completion:
        tokens: list[int] = []
        while len(tokens) < self._decoding.limit and not (tokens and self._decoding.ends[tokens[-1]]):
            shaped = self._distribution(model, prompt, visuals, [*tokens, 0])[-1]
            tokens.append(int(shaped.argmax() if numbers is None else pick(shaped[None], numbers[None, len(tokens)])))
        log_probs = self._distribution(model, prompt, visuals, tokens)
        return Completion(
            tokens=torch.tensor(tokens),
            log_probs=log_probs[range(len(tokens)), tokens],
            entropies=-(log_probs.exp() * log_probs).sum(-1),
            finished=bool(self._decoding.ends[tokens[-1]]),
        )

    def _distribution(self, model, prompt: Sample, visuals, tokens: list[int]) -> Tensor:
        return log_distribution(plain_logits(model, visuals, prompt, torch.tensor(tokens)), self._decoding)


@pytest.fixture
def trainer_of(engine_of, paths_to, tmp_path: Path) -> Callable[[Grpo], GrpoTrainer]:
    """Makes a trainer whose reference is not the start model, so that the KL term has a gradient in the first step."""
    base = paths_to(tmp_path).model
    other = shutil.copytree(base, tmp_path / "reference")
    noise, weights = torch.Generator().manual_seed(0), load_file(base / "model.safetensors")
    moved = {
        name: weight + (0.0 if "visual" in name else 0.02) * torch.randn(weight.shape, generator=noise)
        for name, weight in weights.items()
    }
    save_file(moved, other / "model.safetensors", metadata={"format": "pt"})
    paths = replace(paths_to(tmp_path), model=other)

    def make(grpo: Grpo) -> GrpoTrainer:
        return GrpoTrainer(grpo, 0, engine_of(grpo), dataset_files("grpo", grpo, paths.convert), Rewards(grpo), paths)

    return make


def plain_loss(
    model: PreTrainedModel, reference: PreTrainedModel, visuals, kept: list[Experience], decoding: Decoding, grpo: Grpo
) -> Tensor:
    """DeepSeekMath's loss by its letter, a mean over all tokens; ρ is 1, with the gradient of log π."""
    terms = []
    for item in kept:
        rewards = item.rewards.tolist()
        mean = sum(rewards) / len(rewards)
        deviation = (sum((reward - mean) ** 2 for reward in rewards) / (len(rewards) - 1)) ** 0.5
        for completion, reward in zip(item.completions, rewards, strict=True):
            prompt, tokens = item.question.prompt, completion.tokens
            distribution = log_distribution(plain_logits(model, visuals, prompt, tokens), decoding)
            with torch.no_grad():
                past = log_distribution(plain_logits(reference, visuals, prompt, tokens), decoding)
            for place, token in enumerate(tokens.tolist()):
                log_prob, before = distribution[place, token], past[place, token]
                ratio = torch.exp(log_prob - log_prob.detach())
                divergence = torch.exp(before - log_prob) - (before - log_prob) - 1
                entropy = -(distribution[place].exp() * distribution[place]).sum()
                advantage = (reward - mean) / (deviation + 1e-6)
                terms.append(-advantage * ratio + grpo.kl_coef * divergence - grpo.entropy_coef * entropy)
    return torch.stack(terms).mean()


@pytest.mark.parametrize(("kl_coef", "entropy_coef"), [(0.1, 0.02), (0.0, 0.0)])
def test_a_step_changes_the_weights_as_the_plain_one(
    parts, trainer_of, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kl_coef: float, entropy_coef: float
) -> None:
    grpo = Grpo(**STEP, kl_coef=kl_coef, entropy_coef=entropy_coef)
    trainer = trainer_of(grpo)
    engine, decoding = trainer._engine, trainer._decoding
    _, kept, _ = trainer._collector.collect(engine.plain_model().eval(), 0)
    reference = load_model(tmp_path / "reference", grpo, torch.device("cpu")).eval()
    freeze(parts.model, grpo)
    weights = {name: weight for name, weight in parts.model.named_parameters() if weight.requires_grad}
    loss = plain_loss(parts.model, reference, parts.visuals, kept, decoding, grpo)
    expected = dict(zip(weights, torch.autograd.grad(loss, list(weights.values())), strict=True))

    passes: list[bool] = []
    forward = Scorer.forward
    monkeypatch.setattr(
        Scorer, "forward", lambda self, *args: (passes.append(torch.is_grad_enabled()), forward(self, *args))[1]
    )
    rows = []
    found = update_of(engine, lambda engine: rows.append(trainer.step(0)[0]))
    assert found.keys() == expected.keys()
    assert max(gradient.abs().max() for gradient in expected.values()) > 1e-3
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, atol=1e-5, rtol=0, msg=name)
    assert rows[0]["loss"] == pytest.approx(loss.item(), abs=1e-5)
    assert (rows[0]["kl"] > 1e-3) == (kl_coef > 0)
    # One pass of the policy, none of the old one; one of the reference where the KL term asks for it.
    assert len(passes) == (2 if kl_coef else 1)


def test_another_engine_can_write_the_completions(trainer_of, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the place of the trainer's own one: a step and a validation have the same figures."""
    grpo = Grpo(**STEP)
    trainer = trainer_of(grpo)
    expected = [trainer.validate(lambda: None), trainer.step(0)[0]]
    monkeypatch.setattr(start_rollouts, "Rollout", PlainRollout)
    trainer = trainer_of(grpo)
    for ours, plain in zip(expected, [trainer.validate(lambda: None), trainer.step(0)[0]], strict=True):
        assert plain == pytest.approx(ours, abs=1e-5)


class Apart(RolloutEngine):
    """The trainer's own engine, whose log-probs are lower than the trainer's by as much for each token."""

    def __init__(self, decoding: Decoding, by: float) -> None:
        self._own, self._by = Rollout(decoding, captured=False), by

    def __call__(self, model, prompts, visuals, draws) -> list[list[Completion]]:
        groups = self._own(model, prompts, visuals, draws)
        return [[replace(said, log_probs=said.log_probs - self._by) for said in group] for group in groups]


@pytest.mark.parametrize(
    ("mismatch", "by", "factor"),
    [
        (None, 0.2, 1.0),
        ({"correct": "truncate", "high": 2.0}, 0.0, 1.0),
        ({"correct": "truncate", "high": 2.0}, 0.2, math.exp(0.2)),
        ({"correct": "truncate", "high": 1.1}, 0.2, 1.1),
        ({"correct": "mask", "high": 1.1}, 0.2, 0.0),
    ],
    ids=["none", "equal", "within", "truncated", "masked"],
)
def test_a_step_is_weighted_by_how_far_its_engine_is_apart(
    trainer_of, monkeypatch: pytest.MonkeyPatch, mismatch: dict | None, by: float, factor: float
) -> None:
    plain = {**STEP, "kl_coef": 0.0, "entropy_coef": 0.0}
    expected = update_of((trainer := trainer_of(Grpo(**plain)))._engine, lambda engine: trainer.step(0))
    monkeypatch.setattr(trainer_module, "start_rollouts", lambda grpo, engine, decoding, *_: Apart(decoding, by))
    trainer = trainer_of(Grpo(**plain, rollout="vllm", mismatch=mismatch, engine_gap=0.3))
    validated = trainer.validate(lambda: None)
    assert validated["engine_gap"] == pytest.approx(by, abs=1e-5)
    assert validated["engine_gap_max"] == pytest.approx(by, abs=1e-5)
    rows = []
    found = update_of(trainer._engine, lambda engine: rows.append(trainer.step(0)[0]))
    for name, update in expected.items():
        torch.testing.assert_close(found[name], factor * update, atol=1e-5, rtol=0, msg=name)
    assert rows[0]["engine_ratio"] == pytest.approx(math.exp(by), abs=1e-5)
    assert rows[0]["engine_ratio_max"] == pytest.approx(math.exp(by), abs=1e-5)
    assert rows[0]["engine_kl"] == pytest.approx(math.exp(by) - 1 - by, abs=1e-5)
    assert rows[0]["engine_corrected"] == (factor not in (1.0, math.exp(0.2)))


def test_an_engine_too_far_apart_ends_the_run_before_its_first_step(
    trainer_of, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer_module, "start_rollouts", lambda grpo, engine, decoding, *_: Apart(decoding, 0.2))
    trainer = trainer_of(Grpo(**STEP, rollout="vllm"))
    with pytest.raises(InputError, match=r"differ by 0\.2 nats .* above grpo\.engine_gap = 0\.0005"):
        next(trainer.run(0, [], tmp_path, lambda step: None))


def test_what_is_for_another_engine_is_refused_with_the_trainers_own() -> None:
    for given in ({"mismatch": {}}, {"engine_gap": 0.1}):
        with pytest.raises(ValueError, match="is for an engine that is another program than the trainer"):
            Grpo(**given)


class Guesses(RolloutEngine):
    """An engine that gives the right letter where it sees no video, and always the same one where it sees one."""

    def __init__(self, tokenizer: Any, answers: dict[str, str]) -> None:
        self._tokenizer = tokenizer
        self._answers = answers

    def __call__(self, model, prompts, visuals, draws) -> list[list[Completion]]:
        return [[self._said("A" if prompt.video_keys else self._answers[prompt.id])] for prompt in prompts]

    def _said(self, letter: str) -> Completion:
        tokens = torch.tensor(self._tokenizer(f"<answer>\n{letter}\n</answer>")["input_ids"])
        return Completion(tokens, torch.zeros(len(tokens)), torch.zeros(len(tokens)), finished=True)


def test_each_validation_asks_the_same_questions_without_their_video(parts, trainer_of) -> None:
    trainer, tokenizer = trainer_of(Grpo(**STEP)), parts.processor.tokenizer
    questions = trainer._validation
    answers = {question.prompt.id: question.answer for question in questions}
    trainer._rollout = Guesses(tokenizer, answers)
    row = trainer.validate(lambda: None)
    assert row["accuracy"] == list(answers.values()).count("A") / len(answers) < 1
    assert row["text_only_accuracy"] == 1.0
    for question in questions:
        seen, unseen = question.prompt, question.text_only
        assert (seen.id, unseen.video_keys) == (unseen.id, ())
        words = [tokenizer.decode(item.input_ids, skip_special_tokens=True) for item in (seen, unseen)]
        assert words[0] == words[1]
