"""Rollouts by vLLM on the CPU: the log-probs of the trainer, under weights as they change; lives and deaths of both."""

import itertools
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy
from pathlib import Path

import psutil
import pytest
import torch
from support.recipes import short_grpo
from support.training_fixtures import Parts
from support.training_process import finish, lines_in, start, stop_when
from torch import Tensor
from transformers import PreTrainedModel

from nep.files import read_jsonl
from nep.model.packing import pack_row
from nep.model.samples import Sample, SampleBuilder
from nep.model.scoring import Scorer
from nep.model.visual import Visuals
from nep.train.rl.decoding import Decoding, uniforms
from nep.train.rl.engine_client import VllmRollout
from nep.train.rl.groups import Group
from nep.train.rl.rollout import Completion, Rollout
from nep.train.rl.shuffled import ShuffledCache
from nep.train.runtime.options import RunPaths

# fp32 on both sides; what differs is the order of sums.
ROUNDING = 1e-4
COMPLETIONS = 4
GONE_WITHIN_S = 30

versions = itertools.count(1)


@pytest.fixture
def prompts(parts: Parts) -> list[Sample]:
    """Questions about videos, and one without."""
    words = [{"role": "user", "content": "What happens next?"}]
    builder = SampleBuilder(parts.processor, parts.model, parts.cache)
    return [*parts.prompts[:4], builder.prompt("text", words, [])]


@pytest.fixture
def ask(vllm_engine: VllmRollout, parts: Parts, prompts: list[Sample], decoding: Decoding) -> Callable:
    """Asks the engine about the prompts: with a model's weights, with these videos, sampled or greedily."""

    def call(
        model: PreTrainedModel, visuals: Visuals = parts.visuals, sampled: bool = True, asked: list[Sample] = prompts
    ) -> list[list[Completion]]:
        draws = [uniforms(0, 1, prompt.id, prompt, COMPLETIONS, decoding.limit) for prompt in asked]
        return vllm_engine(model, asked, visuals, torch.stack(draws) if sampled else None)

    vllm_engine.renew(next(versions))
    return call


def moved(model: PreTrainedModel) -> PreTrainedModel:
    """The model after steps that change every weight, the tied head's too."""
    other, noise = deepcopy(model), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in other.parameters():
            weight += 0.3 * weight.std() * torch.randn(weight.shape, generator=noise)
    return other


@torch.no_grad()
def trainers(model: PreTrainedModel, prompt: Sample, tokens: Tensor, visuals: Visuals, decoding: Decoding) -> Tensor:
    """The trainer's log-probs of a completion."""
    tree = Group(prompt, [tokens], torch.zeros(1)).tree()
    row = pack_row([tree], visuals, True, torch.device("cpu"))
    return Scorer(model)(row.inputs, row.rows, row.targets, decoding)[0]


def furthest(
    groups: list[list[Completion]], model: PreTrainedModel, prompts: list[Sample], visuals: Visuals, decoding: Decoding
) -> float:
    """The largest difference between the engine's and the trainer's log-probs."""
    return max(
        (trainers(model, prompt, said.tokens, visuals, decoding) - said.log_probs).abs().max().item()
        for prompt, group in zip(prompts, groups, strict=True)
        for said in group
    )


def tokens_of(groups: list[list[Completion]]) -> list[list[list[int]]]:
    """The tokens of all completions."""
    return [[completion.tokens.tolist() for completion in group] for group in groups]


def test_log_probs_are_the_trainers_before_and_after_its_weights_change(
    ask: Callable, vllm_engine: VllmRollout, parts: Parts, prompts: list[Sample], decoding: Decoding
) -> None:
    for model in (parts.model, moved(parts.model)):
        vllm_engine.renew(next(versions))
        groups = ask(model)
        assert [len(group) for group in groups] == [COMPLETIONS] * len(prompts)
        assert len({str(said) for group in tokens_of(groups) for said in group}) > COMPLETIONS
        assert furthest(groups, model, prompts, parts.visuals, decoding) < ROUNDING
        assert not any(decoding.banned[said.tokens].any() for group in groups for said in group)
        for said in itertools.chain(*groups):
            assert said.finished == bool(decoding.ends[said.tokens[-1]])
            assert said.finished or len(said.tokens) == decoding.limit
            assert not decoding.ends[said.tokens[:-1]].any()
        greedy = Rollout(decoding, captured=False)(model, prompts, parts.visuals, None)
        assert tokens_of(ask(model, sampled=False)) == tokens_of(greedy)


def test_draws_decide_the_completions_whatever_is_asked_beside_and_in_any_order(
    ask: Callable, parts: Parts, prompts: list[Sample]
) -> None:
    expected = tokens_of(ask(parts.model))
    assert tokens_of(ask(parts.model)) == expected
    assert tokens_of(ask(parts.model, asked=prompts[::-1]))[::-1] == expected
    assert tokens_of(ask(parts.model, asked=prompts[1:2])) == expected[1:2]


def test_frames_in_another_order_are_another_video(
    ask: Callable, parts: Parts, prompts: list[Sample], decoding: Decoding
) -> None:
    shuffled = Visuals(
        ShuffledCache(parts.cache, 0, 0), parts.processor, ["vision_tower", "projector"], torch.device("cpu")
    )
    ask(parts.model)
    groups = ask(parts.model, shuffled)
    assert furthest(groups, parts.model, prompts, shuffled, decoding) < ROUNDING
    assert furthest(groups[:4], parts.model, prompts[:4], parts.visuals, decoding) > 100 * ROUNDING


def test_an_engine_that_is_killed_comes_back_and_says_the_same(
    ask: Callable, vllm_engine: VllmRollout, parts: Parts
) -> None:
    model = moved(parts.model)
    expected, first = tokens_of(ask(model)), vllm_engine.pid
    os.kill(first, signal.SIGKILL)
    assert tokens_of(ask(model)) == expected
    assert vllm_engine.pid != first and not psutil.pid_exists(first)


def engines(run: Path) -> list[int]:
    """Numbers of the living engines of a run, whoever is their parent by now: what they print goes below its folder."""
    found = []
    for pid in psutil.pids():
        # Not of a process that ends meanwhile, has ended, or belongs to somebody else.
        with suppress(OSError):
            if Path(f"/proc/{pid}/fd/1").readlink().is_relative_to(run / "logs/rollouts"):
                found.append(pid)
    return found


def test_a_training_survives_the_death_of_either_and_leaves_no_engine(
    paths_to: Callable[[Path], RunPaths], tmp_path: Path
) -> None:
    """The vision tower is trained: videos go to the engine as pixels, through its own tower."""
    recipe = short_grpo(
        steps=8, rollout="vllm", freeze=[], checkpoint_minutes=0, validate_every=8, validation_samples=2
    )
    paths = paths_to(tmp_path)
    left: list[int] = []

    def after_two_steps() -> bool:
        if lines_in(tmp_path, "metrics.jsonl") < 2:
            return False
        left.extend(engines(tmp_path))
        return True

    ended = stop_when(start(recipe, paths), signal.SIGKILL, after_two_steps)
    assert ended == [-signal.SIGKILL], (tmp_path / "stderr.txt").read_text()
    assert len(left) == 1
    end = time.monotonic() + GONE_WITHIN_S
    while engines(tmp_path) and time.monotonic() < end:
        time.sleep(0.01)
    assert not engines(tmp_path)

    trainer = start(recipe, paths)
    while lines_in(tmp_path, "metrics.jsonl") < 3 and trainer[0].is_alive():
        trainer[0].join(0.05)
    for pid in engines(tmp_path):
        os.kill(pid, signal.SIGKILL)
    assert finish(trainer) == [0], (tmp_path / "stderr.txt").read_text()
    assert "ended with status -9" in (tmp_path / "stderr.txt").read_text()
    assert [row["step"] for row in read_jsonl(paths.out / "metrics.jsonl")] == list(range(1, 9))
    assert all(row["engine_gap_max"] < ROUNDING for row in read_jsonl(paths.out / "validation.jsonl"))
    assert not engines(tmp_path)
