"""The gate of an engine's rollouts: log-probs of the same tokens by engine and trainer, and which fault parts them.

The engine completes a few prompts of the training set, as it does in a step, and the trainer scores the very tokens.
Where the two are further apart than rounding explains, the trainer scores them again under each of the known faults:
the one that gives the engine's log-probs is named.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

import torch
from torch import Tensor
from tqdm import tqdm
from transformers import PreTrainedModel, ProcessorMixin

from nep.config.grpo import Grpo
from nep.errors import InputError
from nep.train.distributed import DistributedContext
from nep.train.rl.decoding import Decoding, uniforms
from nep.train.rl.faults import Resources, View, completion_tree, faults, log_probs_under
from nep.train.rl.questions import Question
from nep.train.rl.rollout import Completion, RolloutEngine

# Prompts of each process that are compared.
PROMPTS = 4


@dataclass(frozen=True)
class Gap:
    """How far log-probs of the same tokens are apart, in nats: the mean and the largest absolute difference."""

    tokens: int
    mean: float
    largest: float

    def within(self, bound: float) -> bool:
        """Whether the mean is at most `bound`; what is not a number is not."""
        return self.mean <= bound


def gap_between(trainer: Sequence[Tensor], engine: Sequence[Tensor]) -> Gap:
    """The gap of completions' log-probs, (R,) each."""
    apart = (torch.cat(list(trainer)).double() - torch.cat(list(engine)).double()).abs()
    return Gap(len(apart), apart.mean().item(), apart.max().item())


def shift_of(trainer: Sequence[Tensor], engine: Sequence[Tensor], bound: float) -> str | None:
    """What to say where the engine's log-probs belong to the neighbouring tokens; None where they do not."""
    pairs = [pair for pair in zip(trainer, engine, strict=True) if len(pair[0]) > 1]
    if not pairs:
        return None
    if gap_between([ours[:-1] for ours, _ in pairs], [theirs[1:] for _, theirs in pairs]).within(bound):
        return "each log-prob stands one token late"
    if gap_between([ours[1:] for ours, _ in pairs], [theirs[:-1] for _, theirs in pairs]).within(bound):
        return "each log-prob stands one token early"
    return None


def agreeing_tokens(trainer: Sequence[Tensor], engine: Sequence[Tensor], bound: float) -> int:
    """How many tokens, from the first one of each completion, have the same log-probs within `bound`."""
    apart = [~((ours - theirs).abs() <= bound) for ours, theirs in zip(trainer, engine, strict=True)]
    return min(int(far.int().argmax()) if far.any() else len(far) for far in apart)


@dataclass(frozen=True)
class Scoring:
    """How the trainer scores: the model's family, what views are made from, and whether its sequences share rows."""

    family: str
    resources: Resources
    packs: bool


def likely_fault(
    views: Sequence[View], trainer: Sequence[Tensor], engine: Sequence[Tensor], bound: float, scoring: Scoring
) -> str:
    """What the engine seems to do otherwise, and where to look."""
    for name, log_probs in (("trainer", trainer), ("engine", engine)):
        if not torch.cat(list(log_probs)).isfinite().all():
            return (
                f"some log-probs of the {name} are no numbers: look at its weights and at the precision it computes in"
            )
    if shifted := shift_of(trainer, engine, bound):
        return f"{shifted}: look at how the client reads the engine's log-probs (one for each token that it has said)"
    tried = []
    for fault in faults(scoring.family):
        found = log_probs_under(fault, views, scoring.resources, scoring.packs)
        if found is not None:
            tried.append((gap_between(found, engine).mean, fault))
    mean, fault = min(tried, key=lambda pair: pair[0])
    if mean <= bound:
        return f"it {fault.says} (the trainer does the same within {mean:.1g}): look at {fault.look}"
    agreed = agreeing_tokens(trainer, engine, bound)
    if agreed:
        return (
            f"the first {agreed} tokens of each completion agree: tokens of completions are lost behind them, or its "
            "cache of keys and values is at fault"
        )
    return f"no known fault explains it; nearest, at {mean:.2g}: it {fault.says} ({fault.look})"


class Gate:
    """Compares an engine with the trainer; ends the run where they are further apart than `grpo.engine_gap`."""

    def __init__(
        self,
        grpo: Grpo,
        seed: int,
        questions: Sequence[Question],
        rollout: RolloutEngine,
        decoding: Decoding,
        processor: ProcessorMixin,
        distributed: DistributedContext,
        scoring: Scoring,
    ) -> None:
        """`questions` to train on: each process takes its own first few."""
        self._grpo = grpo
        self._seed = seed
        self._questions = list(questions[distributed.rank :: distributed.size][:PROMPTS]) or [questions[0]]
        self._rollout = rollout
        self._decoding = decoding
        self._processor = processor
        self._distributed = distributed
        self._scoring = scoring
        self._visuals = scoring.resources.visuals_of(scoring.resources.cache)

    def gap(self, model: PreTrainedModel) -> Gap:
        """The gap of all processes together. All processes must call it.

        Raises InputError where that of a process is above the bound, with the likely fault.
        """
        said = self._completions(model)
        views = [self._view(model, *pair) for pair in zip(self._questions, said, strict=True)]
        engine = [completion.log_probs.float() for completion in said]
        trainer = [view.log_probs(self._scoring.packs) for view in views]
        own = gap_between(trainer, engine)
        (failures,) = self._distributed.all_reduce_sum([not own.within(self._grpo.gap_bound)])
        if failures:
            self._end(own, views, trainer, engine)
        tokens, apart = self._distributed.all_reduce_sum([own.tokens, own.mean * own.tokens])
        gap = Gap(int(tokens), apart / tokens, max(self._distributed.of_all(own.largest)))
        if self._distributed.is_main_process:
            tqdm.write(f"grpo: {_apart(gap)}", file=sys.stderr)
        return gap

    def _completions(self, model: PreTrainedModel) -> list[Completion]:
        prompts, limit = [question.prompt for question in self._questions], self._grpo.max_new_tokens
        # The same numbers at each validation, so that gaps differ by the weights alone.
        draws = [uniforms(self._seed, 0, "gate", prompt, 1, limit) for prompt in prompts]
        groups = self._rollout(model, prompts, self._visuals, torch.stack(draws))
        self._rollout.rest()
        return [completion for (completion,) in groups]

    def _view(self, model: PreTrainedModel, question: Question, completion: Completion) -> View:
        prompt = question.prompt
        cache = self._scoring.resources.cache
        visual = {cache.placeholder(key).token_id(self._processor) for key in prompt.video_keys}
        return View(
            tree=completion_tree(prompt, completion.tokens),
            visual=torch.isin(prompt.input_ids, torch.tensor(sorted(visual), dtype=torch.int64)),
            text_only=question.text_only,
            visuals=self._visuals,
            decoding=self._decoding,
            model=model,
        )

    def _end(self, gap: Gap, views: Sequence[View], trainer: Sequence[Tensor], engine: Sequence[Tensor]) -> NoReturn:
        """End the run. All processes wait for those that look for the fault: the first one to end ends them all."""
        bound = self._grpo.gap_bound
        reason = "the engine of another process is apart from its trainer; see that one's message"
        if not gap.within(bound):
            said = f"{_apart(gap)}, above grpo.engine_gap = {bound:g}"
            # Now: what is computed next may run out of memory.
            print(f"grpo: {said}; looking for the fault", file=sys.stderr)
            found = likely_fault(views, trainer, engine, bound, self._scoring)
            reason = f"{said}. The engine (grpo.rollout: {self._grpo.rollout}): {found}"
        self._distributed.barrier()
        raise InputError(f"grpo: {reason}")


def _apart(gap: Gap) -> str:
    return (
        f"log-probs of {gap.tokens} tokens by engine and trainer differ by {gap.mean:.2g} nats on "
        f"average, {gap.largest:.2g} at most"
    )
