"""What a step learns from: groups of rewarded completions, refilled where they give no signal.

All of it is a function of (seed, step) and the weights: each of a step's prompts has a slot, dealt to the processes in
turn, and every draw takes the slot's name, so that one process and several roll out the same completions.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel, ProcessorMixin

from nep.config.grpo import Grpo
from nep.config.question_filters import Bounds
from nep.model.vision_cache import VisionCache
from nep.model.visual import Visuals
from nep.train.distributed import DistributedContext
from nep.train.rl.advantages import zero_variance
from nep.train.rl.decoding import uniforms
from nep.train.rl.diagnostics import repeated
from nep.train.rl.order import QuestionOrder
from nep.train.rl.questions import Question
from nep.train.rl.rewards import Rewards, Scored, is_accurate, overlong_penalty, shuffled_bonuses
from nep.train.rl.rollout import Completion, RolloutEngine
from nep.train.rl.shuffled import ShuffledCache


@dataclass(frozen=True)
class Experience:
    """A question's completions and what they earned.

    Attributes:
        rewards: (completions,) fp32, all that the advantages are made of.
        sums: sums over the completions, by the name of the metric.
    """

    question: Question
    completions: list[Completion]
    rewards: Tensor
    sums: dict[str, float]

    @property
    def accuracy(self) -> float:
        """Share of the completions whose letter is the right one."""
        return self.sums["accuracy"] / len(self.completions)

    @property
    def least_entropy(self) -> float:
        """The lowest mean entropy of a completion, in nats a token."""
        return min(completion.entropies.mean().item() for completion in self.completions)


class Collector:
    """Rolls out, rewards, and refills.

    Attributes: `records`, ids of the questions of the last `collect`, over all processes; `order`, by which they come.
    """

    def __init__(
        self,
        grpo: Grpo,
        seed: int,
        questions: Sequence[Question],
        rewards: Rewards,
        cache: VisionCache,
        processor: ProcessorMixin,
        rollout: RolloutEngine,
        distributed: DistributedContext,
    ) -> None:
        self._grpo = grpo
        self._seed = seed
        self._questions = questions
        self._rewards = rewards
        self._cache = cache
        self._processor = processor
        self._rollout = rollout
        self._distributed = distributed
        self._visuals = Visuals(cache, processor, grpo.freeze, distributed.device)
        self.order = QuestionOrder(grpo, seed, [question.row.get("kind", "") for question in questions])
        self.records: list[str] = []

    def collect(self, model: PreTrainedModel, step: int) -> tuple[list[Experience], list[Experience], int]:
        """This process's groups as first rolled out, the groups to learn from, and how many all processes replaced."""
        grpo, drawn = self._grpo, self.order.of_step(step)
        own = range(self._distributed.rank, grpo.prompts_per_step, self._distributed.size)
        first = self._roll_out(model, step, {slot: drawn[slot] for slot in own}, "")
        kept, used, replaced = dict(first), set(drawn), 0
        for attempt in range(1, grpo.refill_rounds + 1):
            useless = self._slots_without_signal(kept)
            if not useless:
                break
            fresh = refill(self.order.others(drawn), len(useless), used, f"{self._seed}/{step}/{attempt}")
            used |= set(fresh)
            replaced += len(useless)
            mine = {slot: index for slot, index in zip(useless, fresh, strict=True) if slot in kept}
            kept |= self._roll_out(model, step, mine, f"/refill-{attempt}")
        self.records = [self._questions[index].prompt.id for index in sorted(used)]
        return list(first.values()), list(kept.values()), replaced

    def text(self, completion: Completion) -> str:
        """What a completion says, without special tokens."""
        return self._processor.tokenizer.decode(completion.tokens, skip_special_tokens=True)

    def _slots_without_signal(self, experiences: dict[int, Experience]) -> list[int]:
        """The slots of all processes whose group has one reward only, or an accuracy outside the recipe's bounds."""
        flags = [0.0] * self._grpo.prompts_per_step
        for slot, experience in experiences.items():
            flat = zero_variance(experience.rewards[None]).item()
            flags[slot] = float(flat or not is_within(experience.accuracy, self._grpo.refill_accuracy))
        return [slot for slot, flag in enumerate(self._distributed.all_reduce_sum(flags)) if flag]

    def _roll_out(self, model: PreTrainedModel, step: int, drawn: dict[int, int], suffix: str) -> dict[int, Experience]:
        """Slot → experience for `drawn`, slot → question; `suffix` tells the draws of a slot's groups apart."""
        if not drawn:
            return {}
        grpo, questions = self._grpo, [self._questions[index] for index in drawn.values()]
        slots = [f"{slot}{suffix}" for slot in drawn]
        groups = self._sample(model, step, slots, questions, self._visuals, grpo.completions)
        shuffled: list[list[Completion]] = [[] for _ in questions]
        if grpo.shuffled_bonus:
            cache = ShuffledCache(self._cache, self._seed, step)
            visuals = Visuals(cache, self._processor, grpo.freeze, self._distributed.device)
            slots = [f"{slot}/shuffled" for slot in slots]
            # Half as many, as published: they only decide whether the order of the frames helped.
            shuffled = self._sample(model, step, slots, questions, visuals, grpo.completions // 2)
        made = zip(drawn, questions, groups, shuffled, strict=True)
        return {slot: self._experience(question, group, others) for slot, question, group, others in made}

    def _sample(
        self,
        model: PreTrainedModel,
        step: int,
        slots: list[str],
        questions: list[Question],
        visuals: Visuals,
        completions: int,
    ) -> list[list[Completion]]:
        prompts = [question.prompt for question in questions]
        draws = torch.stack(
            [
                uniforms(self._seed, step, slot, prompt, completions, self._grpo.max_new_tokens)
                for slot, prompt in zip(slots, prompts, strict=True)
            ]
        )
        return self._rollout(model, prompts, visuals, draws)

    def _experience(self, question: Question, completions: list[Completion], shuffled: list[Completion]) -> Experience:
        grpo = self._grpo
        texts = [self.text(completion) for completion in completions]
        scored = [self._rewards.score(text, question.row) for text in texts]
        accurate = [is_accurate(text, question.answer) for text in texts]
        lengths = [len(completion.tokens) for completion in completions]
        totals = [item.total for item in scored]
        shaped: dict[str, list[float]] = {}
        if grpo.overlong_buffer:
            shaped["overlong"] = [overlong_penalty(n, grpo.max_new_tokens, grpo.overlong_buffer) for n in lengths]
        if grpo.shuffled_bonus:
            others = [is_accurate(self.text(completion), question.answer) for completion in shuffled]
            shaped["shuffled"] = shuffled_bonuses(accurate, others, grpo.shuffled_bonus)
        for values in shaped.values():
            totals = [total + value for total, value in zip(totals, values, strict=True)]
        # Not a number where the model's answer was none: a group without signal would be dropped and pass unnoticed.
        finite = torch.tensor([completion.log_probs.isfinite().all() for completion in completions])
        rewards = torch.tensor(totals).where(finite, torch.nan)
        sums = {
            "reward": rewards.sum().item(),
            **_summed(scored, self._rewards.names),
            **{f"reward_{name}": sum(values) for name, values in shaped.items()},
            "reward_errors": sum(item.failed for item in scored),
            "accuracy": sum(accurate),
            "tokens": sum(lengths),
            "truncated": sum(not completion.finished for completion in completions),
            "repeated": repeated(completions),
            "entropy": sum(completion.entropies.sum().item() for completion in completions),
        }
        return Experience(question, completions, rewards, sums)


def refill(questions: Sequence[int], wanted: int, used: set[int], place: str) -> list[int]:
    """`wanted` of `questions`, drawn by `place`: none of `used`, while there are others."""
    left = [index for index in questions if index not in used] or list(questions)
    random.Random(place).shuffle(left)
    return [left[number % len(left)] for number in range(wanted)]


def is_within(share: float, bounds: Bounds | None) -> bool:
    """Whether a share of right answers is within the bounds, which belong to it; any is, where there are none."""
    return bounds is None or bounds[0] <= share <= bounds[1]


def _summed(scored: Sequence[Scored], names: Sequence[str]) -> dict[str, float]:
    return {f"reward_{name}": sum(item.rewards[name] for item in scored) for name in names}
