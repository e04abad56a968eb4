"""The gate in front of rollouts: right engines pass, and each kind of broken one is named.

A broken engine here is the trainer's own decoding on wrong inputs: the real model, its real passes, another prompt,
other positions, other videos, other weights. What it says is then scored by the trainer as it is.
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from support import training_run
from torch import Tensor
from transformers import PreTrainedModel

from nep.config.grpo import Grpo
from nep.errors import InputError
from nep.model.samples import Sample, SampleBuilder
from nep.model.vision_cache import VisionCache
from nep.model.visual import Visuals
from nep.train.distributed import DistributedContext
from nep.train.rl import kv_cache
from nep.train.rl.decoding import Decoding, decoding_for
from nep.train.rl.experience import Question
from nep.train.rl.faults import Resources
from nep.train.rl.gate import Gap, Gate, Scoring
from nep.train.rl.rollout import Completion, Rollout

LIMIT, TEMPERATURE = 12, 0.7
CPU = torch.device("cpu")


class Alone(DistributedContext):
    """One process."""

    def all_reduce_sum(self, values):
        return list(values)

    def barrier(self) -> None:
        """Nobody to wait for."""


@dataclass(frozen=True)
class Asked:
    """What an engine decodes from."""

    model: PreTrainedModel
    prompts: list[Sample]
    visuals: Visuals
    decoding: Decoding


class Engine:
    """The trainer's own decoding after `change`; `say` changes what it says."""

    def __init__(
        self,
        decoding: Decoding,
        change: Callable[[Asked], Asked] = lambda asked: asked,
        say: Callable[[Completion], Completion] = lambda completion: completion,
    ) -> None:
        self._decoding, self._change, self._say = decoding, change, say

    def __call__(self, model, prompts, visuals, draws) -> list[list[Completion]]:
        asked = self._change(Asked(model, list(prompts), visuals, self._decoding))
        groups = Rollout(asked.decoding, captured=False)(asked.model, asked.prompts, asked.visuals, draws)
        return [[self._say(completion) for completion in group] for group in groups]


@pytest.fixture(scope="module")
def long_clips(parts, tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> VisionCache:
    """Clips of four steps in time: with two, reversed is one step late."""
    folder = tmp_path_factory.mktemp("gate")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training_run, "FRAMES", 8)
        training_run.write_cache(folder, tiny_checkpoint, [f"video-{number}" for number in range(2)])
    return VisionCache(folder)


@pytest.fixture(scope="module")
def moved(parts) -> PreTrainedModel:
    """The model under training: some steps away from the start model."""
    model = deepcopy(parts.model)
    noise = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "visual" not in name:
                weight += 0.02 * torch.randn(weight.shape, generator=noise)
    return model


@pytest.fixture(scope="module")
def check(parts, long_clips, moved) -> Callable[..., Gap]:
    """Runs the gate on an engine."""
    builder = SampleBuilder(parts.processor, parts.model, long_clips)
    words = "What happens next?\nA. A cup falls.\nB. The door opens."

    def prompt(mark: str, keys: list[str]) -> Sample:
        return builder.prompt("question", [{"role": "user", "content": mark + words}], keys)

    questions = [Question(prompt("<video>", [key]), prompt("", []), {"answer": "A"}) for key in long_clips]
    resources = Resources(
        cache=long_clips,
        visuals_of=lambda cache: Visuals(cache, parts.processor, Grpo().freeze, CPU),
        start_model=lambda: parts.model,
    )
    decoding = decoding_for(moved, parts.processor, TEMPERATURE, LIMIT)

    def run(make: Callable[[Decoding], Engine], **settings) -> Gap:
        grpo = Grpo(temperature=TEMPERATURE, max_new_tokens=LIMIT, **settings)
        scoring = Scoring("qwen2_5_vl", resources, packs=True)
        gate = Gate(grpo, 0, questions, make(decoding), decoding, parts.processor, Alone(0, 1, CPU), scoring)
        return gate.gap(moved)

    return run


def on_prompts(change: Callable[[Sample], Sample]) -> Callable[[Asked], Asked]:
    return lambda asked: replace(asked, prompts=[change(prompt) for prompt in asked.prompts])


def picked(prompt: Sample, places: list[int], moved_by: list[int]) -> Sample:
    """The tokens at these places, whose positions move by so many."""
    positions = prompt.position_ids[:, places] + torch.tensor(moved_by)
    return replace(prompt, input_ids=prompt.input_ids[places], position_ids=positions, prompt_length=len(places))


def without(*lost: int) -> Callable[[Asked], Asked]:
    def change(prompt: Sample) -> Sample:
        gone = {place % len(prompt) for place in lost}
        kept = [place for place in range(len(prompt)) if place not in gone]
        return picked(prompt, kept, [-sum(one < place for one in gone) for place in kept])

    return on_prompts(change)


def around_video(prompt: Sample, counts: int) -> Sample:
    """The tokens before and behind the visual ones `counts` times."""
    (first, *_, last) = (prompt.input_ids == prompt.input_ids[prompt.visual_end - 1]).nonzero()[:, 0].tolist()
    places, by, shift = [], [], 0
    for place in range(len(prompt)):
        times = counts if place in (first - 1, last + 1) else 1
        places += [place] * times
        by += [shift + copy for copy in range(times)]
        shift += times - 1
    return picked(prompt, places, by)


def as_text(prompt: Sample) -> Sample:
    return replace(prompt, position_ids=torch.arange(len(prompt)).expand(3, -1))


def temporal_row(prompt: Sample) -> Sample:
    return replace(prompt, position_ids=prompt.position_ids[:1].expand(3, -1))


@dataclass(frozen=True)
class Shown:
    """Clips whose features an engine changes."""

    cache: object
    change: Callable[[Tensor], Tensor]
    has_features = True

    def features(self, key: str) -> Tensor:
        steps = self.cache.placeholder(key).grid[0]
        features = self.cache.features(key)
        return self.change(features.reshape(steps, -1, features.shape[-1])).reshape(features.shape)

    def placeholder(self, key: str):
        return self.cache.placeholder(key)


def shown(parts, clips, change: Callable[[Tensor], Tensor]) -> Callable[[Asked], Asked]:
    visuals = Visuals(Shown(clips, change), parts.processor, Grpo().freeze, CPU)
    return lambda asked: replace(asked, visuals=visuals)


def under(**changes) -> Callable[[Asked], Asked]:
    return lambda asked: replace(asked, decoding=replace(asked.decoding, **changes))


def nothing_banned(asked: Asked) -> Asked:
    return replace(asked, decoding=replace(asked.decoding, banned=torch.zeros_like(asked.decoding.banned)))


def test_right_engines_pass_and_are_asked_once_a_step(check) -> None:
    asked = []

    def watched(asked_for: Asked) -> Asked:
        asked.append(asked_for)
        return asked_for

    gap = check(lambda decoding: Engine(decoding, watched))
    assert gap.tokens > 10
    assert 0 < gap.largest < 1e-4
    assert gap.mean <= gap.largest
    assert len(asked) == 1


BROKEN: list[tuple[str, str, Callable]] = [
    ("lost the first token", "token ids", lambda parts, clips: without(0)),
    ("lost the last token", "token ids", lambda parts, clips: without(-1)),
    ("lost the first two tokens", "index.jsonl", lambda parts, clips: without(0, 1)),
    ("lost the last two tokens", "index.jsonl", lambda parts, clips: without(-2, -1)),
    (
        "lost the two tokens around the video",
        "token ids",
        lambda parts, clips: on_prompts(lambda p: around_video(p, 0)),
    ),
    (
        "two tokens around the video of the prompt twice",
        "ids",
        lambda parts, clips: on_prompts(lambda p: around_video(p, 2)),
    ),
    ("positions as in a text", "M-RoPE for the family 'qwen2_5_vl'", lambda parts, clips: on_prompts(as_text)),
    ("temporal row alone", "M-RoPE", lambda parts, clips: on_prompts(temporal_row)),
    (
        "frames in reverse order",
        "frames_indices",
        lambda parts, clips: shown(parts, clips, lambda steps: steps.flip(0)),
    ),
    ("frames one step late", "video_embeds", lambda parts, clips: shown(parts, clips, lambda steps: steps.roll(1, 0))),
    ("features of zero", "enable_mm_embeds", lambda parts, clips: shown(parts, clips, torch.zeros_like)),
    ("log-probs of temperature 1 (", "processed_logprobs", lambda parts, clips: under(temperature=1.0)),
    ("in which banned tokens have a share", "may not say", lambda parts, clips: nothing_banned),
    ("stale weights", "transfer", lambda parts, clips: lambda asked: replace(asked, model=parts.model)),
]


@pytest.mark.parametrize(("name", "look", "broken"), BROKEN, ids=[name for name, *_ in BROKEN])
def test_each_fault_is_named_with_where_to_look(
    parts, long_clips, check, name: str, look: str, broken: Callable
) -> None:
    with pytest.raises(InputError) as refused:
        check(lambda decoding: Engine(decoding, broken(parts, long_clips)), engine_gap=1e-3)
    assert name in str(refused.value)
    assert "the trainer does the same within" in str(refused.value)


def test_a_completion_at_the_wrong_positions_is_named(check, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kv_cache, "next_position", len)
    with pytest.raises(InputError, match="goes on at the number of tokens, not behind the highest position"):
        check(Engine)


def shifted(completion: Completion, by: int) -> Completion:
    return replace(completion, log_probs=completion.log_probs.roll(by))


def one_lost(completion: Completion) -> Completion:
    """Without its sixth token, and that one's log-prob."""
    kept = [place for place in range(len(completion.tokens)) if place != 5]
    return replace(completion, tokens=completion.tokens[kept], log_probs=completion.log_probs[kept])


SAID_WRONGLY: list[tuple[str, Callable[[Completion], Completion]]] = [
    ("each log-prob stands one token late", lambda completion: shifted(completion, 1)),
    ("each log-prob stands one token early", lambda completion: shifted(completion, -1)),
    ("the first 5 tokens of each completion agree: tokens of completions are lost", one_lost),
    ("no known fault explains it", lambda completion: replace(completion, log_probs=completion.log_probs - 1)),
    ("log-probs of the engine are no numbers", lambda said: replace(said, log_probs=said.log_probs * torch.nan)),
]


@pytest.mark.parametrize(("name", "say"), SAID_WRONGLY, ids=["late", "early", "lost", "unknown", "not-a-number"])
def test_what_is_said_wrongly_is_named_or_said_to_be_unknown(check, name: str, say: Callable) -> None:
    with pytest.raises(InputError) as refused:
        check(lambda decoding: Engine(decoding, say=say))
    assert name in str(refused.value)


def test_the_bound_is_the_configured_one(check) -> None:
    def apart(completion: Completion) -> Completion:
        return replace(completion, log_probs=completion.log_probs + 0.05)

    assert check(lambda decoding: Engine(decoding, say=apart), engine_gap=0.06).mean == pytest.approx(0.05, abs=1e-4)
    with pytest.raises(
        InputError, match=r"differ by 0\.05 nats on average, 0\.05 at most, above grpo\.engine_gap = 0\.04"
    ):
        check(lambda decoding: Engine(decoding, say=apart), engine_gap=0.04)
    assert (Grpo().gap_bound, Grpo(precision="bf16").gap_bound) == (0.01, 0.1)
