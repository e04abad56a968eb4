"""Engines that are broken on purpose, and the gate that they meet.

A broken engine is a real one on wrong inputs: another prompt, other positions, other videos, other weights. What it
says is then scored by the trainer as it is.
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
from nep.model.samples import Sample, SampleBuilder
from nep.model.vision_cache import VisionCache
from nep.model.visual import Visuals
from nep.train.distributed import DistributedContext
from nep.train.rl.decoding import Decoding, decoding_for
from nep.train.rl.faults import Resources
from nep.train.rl.gate import Gap, Gate, Scoring
from nep.train.rl.questions import Question
from nep.train.rl.rollout import Completion, Rollout, RolloutEngine

LIMIT, TEMPERATURE = 12, 0.7
CPU = torch.device("cpu")


class Alone(DistributedContext):
    """One process."""

    def all_reduce_sum(self, values):
        """Its own."""
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


def own(decoding: Decoding) -> RolloutEngine:
    """The trainer's own engine."""
    return Rollout(decoding, captured=False)


class Broken(RolloutEngine):
    """An engine that is asked otherwise than it should be, by `change`; `say` changes what it says."""

    def __init__(
        self,
        decoding: Decoding,
        change: Callable[[Asked], Asked] = lambda asked: asked,
        say: Callable[[Completion], Completion] = lambda completion: completion,
        engine: Callable[[Decoding], RolloutEngine] = own,
    ) -> None:
        self._decoding, self._change, self._say, self._engine = decoding, change, say, engine

    def __call__(self, model, prompts, visuals, draws) -> list[list[Completion]]:
        """See `RolloutEngine`."""
        asked = self._change(Asked(model, list(prompts), visuals, self._decoding))
        groups = self._engine(asked.decoding)(asked.model, asked.prompts, asked.visuals, draws)
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

    def run(make: Callable[[Decoding], RolloutEngine], **settings) -> Gap:
        grpo = Grpo(rollout="vllm", temperature=TEMPERATURE, max_new_tokens=LIMIT, **settings)
        scoring = Scoring("qwen2_5_vl", resources, packs=True)
        gate = Gate(grpo, 0, questions, make(decoding), decoding, parts.processor, Alone(0, 1, CPU), scoring)
        return gate.gap(moved)

    return run


def on_prompts(change: Callable[[Sample], Sample]) -> Callable[[Asked], Asked]:
    """Changes each prompt."""
    return lambda asked: replace(asked, prompts=[change(prompt) for prompt in asked.prompts])


def picked(prompt: Sample, places: list[int], moved_by: list[int]) -> Sample:
    """The tokens at these places, whose positions move by so many."""
    positions = prompt.position_ids[:, places] + torch.tensor(moved_by)
    return replace(prompt, input_ids=prompt.input_ids[places], position_ids=positions, prompt_length=len(places))


def without(*lost: int) -> Callable[[Asked], Asked]:
    """Prompts without the tokens at these places."""

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
    """Positions of a text."""
    return replace(prompt, position_ids=torch.arange(len(prompt)).expand(3, -1))


def temporal_row(prompt: Sample) -> Sample:
    """The temporal row of the positions for all three."""
    return replace(prompt, position_ids=prompt.position_ids[:1].expand(3, -1))


@dataclass(frozen=True)
class Shown:
    """Clips whose features an engine changes."""

    cache: object
    change: Callable[[Tensor], Tensor]
    has_features = True

    def features(self, key: str) -> Tensor:
        """Changed in the form (steps, tokens, hidden)."""
        steps = self.cache.placeholder(key).grid[0]
        features = self.cache.features(key)
        return self.change(features.reshape(steps, -1, features.shape[-1])).reshape(features.shape)

    def placeholder(self, key: str):
        """As it is."""
        return self.cache.placeholder(key)


def shown(parts, clips, change: Callable[[Tensor], Tensor]) -> Callable[[Asked], Asked]:
    """Other features in the place of the clips'."""
    visuals = Visuals(Shown(clips, change), parts.processor, Grpo().freeze, CPU)
    return lambda asked: replace(asked, visuals=visuals)


def under(**changes) -> Callable[[Asked], Asked]:
    """Another decoding."""
    return lambda asked: replace(asked, decoding=replace(asked.decoding, **changes))
