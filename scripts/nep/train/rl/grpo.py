"""Group relative policy optimisation on cached video features: roll out, reward, one optimiser step on the groups.

Settings and formulas: FACTS of the published system; DeepSeekMath, arXiv 2402.03300. With one optimiser step a rollout
the old log-probs are the detached current ones.
"""

import functools
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm
from transformers import AutoProcessor, PreTrainedModel, ProcessorMixin

from nep.config.grpo import Grpo
from nep.data.selection import dataset_files
from nep.errors import InputError
from nep.model.packing import PackedRow, Tree, pack_bins, pack_row, split_tree
from nep.model.samples import Sample, SampleBuilder
from nep.model.scoring import Policy, Scorer
from nep.model.vision_cache import VisionCache
from nep.model.visual import Visuals
from nep.train.distributed import DistributedContext, start_distributed
from nep.train.engine import Engine, load_model
from nep.train.loop import Row, Step, Trainer, train
from nep.train.rl.advantages import advantages_of, zero_variance
from nep.train.rl.decoding import decoding_for
from nep.train.rl.diagnostics import EntropyWatch
from nep.train.rl.experience import Collector, Experience
from nep.train.rl.faults import Resources
from nep.train.rl.gate import Gap, Gate, Scoring
from nep.train.rl.groups import Group, completion_numbers
from nep.train.rl.losses import CompletionTokens, StepTotals, normalised, token_losses
from nep.train.rl.mismatch import Tally, figures
from nep.train.rl.question_filter import Choice, Measured, QuestionFilter
from nep.train.rl.questions import Question, load_questions
from nep.train.rl.rewards import Rewards, is_accurate
from nep.train.rl.rollout import RolloutEngine
from nep.train.rl.start_rollouts import start_rollouts
from nep.train.runtime.options import RunPaths, TrainingOptions
from nep.train.runtime.step_log import peak_memory_bytes
from nep.train.schedule import learning_rate

STAGE = "grpo"


@dataclass(frozen=True)
class Part:
    """A tree, the advantages of its branches, (branches,) fp32, and their tokens' log-probs under an engine, (N,)."""

    tree: Tree
    advantages: Tensor
    engine_log_probs: Tensor | None


def train_grpo(grpo: Grpo, seed: int, experiment: str, paths: RunPaths) -> None:
    """Train, resuming from the newest checkpoint of the same recipe, and write the outputs of the stage."""
    distributed = start_distributed(grpo.threads)
    if grpo.prompts_per_step < distributed.size:
        raise InputError(f"grpo.prompts_per_step ({grpo.prompts_per_step}) is below the {distributed.size} processes")
    files, rewards = dataset_files(STAGE, grpo, paths.convert), Rewards(grpo)
    read = [*files.values(), *filter(Path.is_file, map(Path, grpo.reward_modules))]
    train(
        STAGE,
        TrainingOptions(grpo, seed, experiment, paths),
        distributed,
        read,
        lambda engine: GrpoTrainer(grpo, seed, engine, files, rewards, paths),
        may_be_shared=not grpo.reward_modules,
    )


class GrpoTrainer(Trainer):
    """Steps and validations of a run, each a function of (seed, step) and the current weights."""

    measure, best = "accuracy", "highest"

    def __init__(
        self, grpo: Grpo, seed: int, engine: Engine, files: dict[str, Path], rewards: Rewards, paths: RunPaths
    ) -> None:
        self._grpo = grpo
        self._engine = engine
        self._rewards = rewards
        self._distributed: DistributedContext = engine.distributed
        processor = AutoProcessor.from_pretrained(paths.model, local_files_only=True)
        cache = VisionCache(paths.encode, index=paths.index)
        self._visuals = Visuals(cache, processor, grpo.freeze, self._distributed.device)
        self._decoding = decoding_for(engine.model, processor, grpo.temperature, grpo.max_new_tokens)
        builder = SampleBuilder(processor, engine.model, cache)
        train, self._validation, self.without_video = load_questions(grpo, seed, files, builder, cache)
        self.altered = builder.altered
        self.validates = bool(self._validation)
        self.steps = grpo.steps
        self._visuals.check(engine.model, [question.prompt for question in train])
        self._rollout: RolloutEngine = start_rollouts(grpo, engine, self._decoding, self._visuals, paths)
        self._collector = Collector(grpo, seed, train, rewards, cache, processor, self._rollout, self._distributed)
        self._seed, self._questions = seed, train
        self._filter: QuestionFilter | None = None
        self._reference = load_reference(paths.model, grpo, engine)
        self._gate = None if grpo.rollout == "own" else self._gate_for(seed, train, processor, cache, paths.model)
        self._gap: Gap | None = None

    def _gate_for(
        self, seed: int, questions: list[Question], processor: ProcessorMixin, cache: VisionCache, model: Path
    ) -> Gate:
        grpo, engine, device = self._grpo, self._engine, self._distributed.device
        resources = Resources(
            cache=cache,
            visuals_of=lambda clips: Visuals(clips, processor, grpo.freeze, device),
            start_model=functools.cache(lambda: load_model(model, grpo, device).eval()),
        )
        scoring = Scoring(engine.model.config.model_type, resources, engine.packs)
        return Gate(grpo, seed, questions, self._rollout, self._decoding, processor, self._distributed, scoring)

    def run(self, start: int, past: Sequence[Row], work: Path, stop_if_told: Callable[[int], None]) -> Iterator[Step]:
        """Take the steps, choose their questions where that is due, and warn of an entropy that collapses."""
        watch = EntropyWatch(self._grpo.entropy_floor, [row["entropy"] for row in past if row["entropy"] is not None])
        if start < self.steps:
            self._engine_gap()
        self._filter = self._start_filter(work, start)
        for step in range(start, self.steps):
            if self._filter and self._filter.is_due(step):
                self._ask(self._filter.choose(self._decoding_model(), step, partial(stop_if_told, step)))
            row, timing = self.step(step)
            if (warning := watch.warning(row["entropy"])) and self._distributed.is_main_process:
                tqdm.write(f"warning: step {step + 1}: {warning}", file=sys.stderr)
            bar = {"reward": f"{row['reward']:.3f}", "kl": f"{row['kl']:.4f}"}
            yield Step(row, timing, self._collector.records, bar)

    def _start_filter(self, work: Path, start: int) -> QuestionFilter | None:
        """What chooses the questions, where the recipe wants it, with its choices before step `start` made again."""
        grpo = self._grpo
        if grpo.difficulty is None and grpo.visual_gain is None:
            return None
        text, distributed = self._collector.text, self._distributed
        measured = Measured(grpo, self._seed, self._rollout, self._visuals, text, distributed, work, start)
        chooser = QuestionFilter(grpo, self._questions, measured)
        for earlier in filter(chooser.is_due, range(start)):
            self._collector.order.keep(chooser.choose(None, earlier, between=lambda: None).kept, earlier)
        return chooser

    def _ask(self, choice: Choice) -> None:
        """Ask the chosen questions from now on, and say so."""
        self._collector.order.keep(choice.kept, choice.step)
        if self._distributed.is_main_process:
            tqdm.write(str(choice), file=sys.stderr)

    def step(self, step: int) -> tuple[Row, Row]:
        """One rollout and one optimiser step; the rows of metrics.jsonl and of timings.jsonl, without `step`.

        Rewards, accuracy, lengths and entropy are those of the groups as first rolled out, a fair sample of the policy.
        """
        began = time.monotonic()
        grpo, distributed = self._grpo, self._distributed
        first, kept, replaced = self._collector.collect(self._decoding_model(), step)
        self._engine.model.train()
        self._rollout.rest()
        rolled = time.monotonic()

        totals = self._totals(first)
        least_entropy = self._least_entropy(first)
        flat = zero_variance(torch.stack([item.rewards for item in kept])).sum().item()
        tokens, flat_groups = distributed.all_reduce_sum([sum(item.sums["tokens"] for item in kept), flat])
        rate = learning_rate(step, grpo.steps, grpo.lr, grpo.warmup_ratio, grpo.schedule)
        sums, tally = self._accumulate(self._groups(kept), tokens)
        norm = self._engine.step(rate)
        self._gap = None
        loss, divergence = distributed.all_reduce_sum(sums)
        ended = time.monotonic()

        number = grpo.prompts_per_step * grpo.completions
        row = {
            "loss": loss,
            "kl": divergence,
            "entropy": totals["entropy"] / totals["tokens"],
            "entropy_min": least_entropy,
            **{name: totals[name] / number for name in totals if name.startswith("reward")},
            "accuracy": totals["accuracy"] / number,
            "completion_tokens": totals["tokens"] / number,
            "zero_variance_groups": flat_groups / grpo.prompts_per_step,
            "refilled_groups": replaced,
            **({"kept_questions": len(self._collector.order.kept)} if self._filter else {}),
            "truncated": totals["truncated"] / number,
            "repeated": totals["repeated"] / number,
            **self._engine_figures(tally),
            "grad_norm": norm,
            "lr": rate,
        }
        timing = {
            "seconds": ended - began,
            "rollout_seconds": rolled - began,
            "update_seconds": ended - rolled,
            "tokens_per_second": totals["tokens"] / (ended - began),
            "peak_memory_bytes": peak_memory_bytes(),
        }
        return row, timing

    def validate(self, between: Callable[[], None]) -> Row:
        """Mean reward and accuracy of greedy completions on the held-out questions; null where there are none.

        `text_only_accuracy` is that of the same questions without their video: what the texts alone give away.
        """
        grpo, distributed = self._grpo, self._distributed
        gap = self._engine_gap()
        model = self._decoding_model()
        rewards, accurate, guessed = 0.0, 0, 0
        own = self._validation[distributed.rank :: distributed.size]
        # Of the process with the most questions: all must come to `between` equally often.
        most = -(-len(self._validation) // distributed.size)
        for start in range(0, most, grpo.prompts_per_step):
            between()
            questions = own[start : start + grpo.prompts_per_step]
            seen = self._greedy(model, [question.prompt for question in questions])
            unseen = self._greedy(model, [question.text_only for question in questions])
            for question, text, guess in zip(questions, seen, unseen, strict=True):
                rewards += self._rewards.score(text, question.row).total
                accurate += is_accurate(text, question.answer)
                guessed += is_accurate(guess, question.answer)
        self._engine.model.train()
        self._rollout.rest()
        *sums, count = distributed.all_reduce_sum([rewards, accurate, guessed, len(own)])
        means = [value / count if count else None for value in sums]
        return {**dict(zip(("reward", "accuracy", "text_only_accuracy"), means, strict=True)), **gap}

    def _engine_gap(self) -> Row:
        """How far engine and trainer are apart, measured once under the same weights; nothing where both are one.

        Raises InputError where that is too far.
        """
        if self._gate is None:
            return {}
        if self._gap is None:
            self._gap = self._gate.gap(self._decoding_model())
            self._engine.model.train()
        return {"engine_gap": self._gap.mean, "engine_gap_max": self._gap.largest}

    def results(self, final: Row) -> Row:
        """The end of all rollouts: how many completions were sampled, how many questions were chosen, and the last
        step's reward."""
        self._rollout.close()
        grpo = self._grpo
        asked = {"samples": grpo.steps * grpo.prompts_per_step * grpo.completions}
        if self._filter:
            asked |= self._filter.results()
        return {**asked, "final_reward": final["reward"]}

    def _greedy(self, model: PreTrainedModel, prompts: list[Sample]) -> list[str]:
        groups = self._rollout(model, prompts, self._visuals, draws=None) if prompts else []
        return [self._collector.text(completion) for (completion,) in groups]

    def _decoding_model(self) -> PreTrainedModel:
        self._rollout.renew(self._engine.version)
        # Gradient checkpointing switches the cache off in training mode.
        return self._engine.plain_model().eval()

    def _totals(self, experiences: list[Experience]) -> dict[str, float]:
        """Sums over the completions of all processes, by the name of the metric."""
        names = list(experiences[0].sums)
        sums = [sum(item.sums[name] for item in experiences) for name in names]
        return dict(zip(names, self._distributed.all_reduce_sum(sums), strict=True))

    def _least_entropy(self, experiences: list[Experience]) -> float:
        """The lowest mean entropy of a completion, over all processes."""
        return min(self._distributed.of_all(min(item.least_entropy for item in experiences)))

    def _groups(self, experiences: list[Experience]) -> list[Group]:
        """The groups of this process with their advantages."""
        rewards = torch.stack([item.rewards for item in experiences])
        advantages = advantages_of(rewards, self._grpo.advantages)
        return [self._group(item, values) for item, values in zip(experiences, advantages, strict=True)]

    def _group(self, experience: Experience, advantages: Tensor) -> Group:
        said = experience.completions
        sampled = None if self._grpo.rollout == "own" else [completion.log_probs for completion in said]
        return Group(experience.question.prompt, [completion.tokens for completion in said], advantages, sampled)

    def _accumulate(self, groups: list[Group], tokens: float) -> tuple[list[float], Tally]:
        """Gradients of all groups; this process's share of the loss and of the mean KL, and what the engine's log-probs
        are like."""
        totals = StepTotals(tokens, self._grpo.prompts_per_step * self._grpo.completions, self._grpo.max_new_tokens)
        packs = self._packs(groups)
        sums, tally = torch.zeros(2, dtype=torch.float64), Tally()
        for index, (parts, counts) in enumerate(packs):
            batch = self._scored(parts)
            if counts and batch.engine_log_probs is not None:
                tally.add(batch.sampled(), self._grpo.mismatch)
            losses, divergence = token_losses(batch, self._grpo)
            loss = normalised(losses, batch.completion, self._grpo.loss_mean, totals) * counts
            self._engine.accumulate(loss, last=index == len(packs) - 1)
            sums += torch.stack([loss, divergence.sum() / tokens * counts]).detach().double().cpu()
        return sums.tolist(), tally

    def _engine_figures(self, tally: Tally) -> Row:
        """How far all processes' tokens of the step are from the engine's; nothing where the trainer sampled."""
        if self._grpo.rollout == "own":
            return {}
        sums = self._distributed.all_reduce_sum([tally.tokens, tally.ratios, tally.corrected, tally.divergence])
        return figures(Tally(*sums, largest=max(self._distributed.of_all(tally.largest))))

    def _packs(self, groups: list[Group]) -> list[tuple[list[Part], bool]]:
        """The groups' trees, dealt to rows; all processes get equally many rows.

        Without KL and entropy terms, groups whose advantages are 0 are left out: their gradient is 0. A row that does
        not count fills up: its process still takes part in the collectives.
        """
        limit = self._grpo.pack_tokens if self._engine.packs else 1
        penalised = self._grpo.kl_coef or self._grpo.entropy_coef
        parts = [part for group in groups if penalised or group.advantages.any() for part in _parts(group, limit)]
        dealt = pack_bins(parts, 1, limit, lambda part: len(part.tree))[0] if parts else []
        missing = max(1, self._distributed.all_reduce_max(len(dealt))) - len(dealt)
        return [(pack, True) for pack in dealt] + [(_parts(groups[0], limit)[:1], False)] * missing

    def _scored(self, parts: list[Part]) -> CompletionTokens:
        """One row's tokens under the policy and the start model."""
        device = self._distributed.device
        row = pack_row([part.tree for part in parts], self._visuals, self._engine.packs, device)
        # First, as it keeps nothing for the backward pass.
        reference = self._reference(row, self._decoding)[0] if self._reference else None
        log_probs, entropies = self._engine.score(row, self._decoding)
        completion = completion_numbers([len(branch.tokens) for part in parts for branch in part.tree.branches])
        from_engine = [part.engine_log_probs for part in parts if part.engine_log_probs is not None]
        return CompletionTokens(
            log_probs=log_probs,
            old_log_probs=log_probs.detach(),
            reference_log_probs=reference,
            entropies=entropies if self._grpo.entropy_coef else None,
            advantages=torch.cat([part.advantages for part in parts])[completion].to(device),
            completion=completion.to(device),
            engine_log_probs=torch.cat(from_engine).to(device) if from_engine else None,
        )


def load_reference(folder: Path, grpo: Grpo, engine: Engine) -> Callable[[PackedRow, Policy], Tensor] | None:
    """Scores under the start model, which the KL term refers to; None where its coefficient is 0.

    The start model is a frozen copy, or the model under training itself where only adapters tell them apart.
    """
    if grpo.kl_coef == 0:
        return None
    if grpo.trains_adapters_only:
        return engine.score_start
    scorer = Scorer(load_model(folder, grpo, engine.distributed.device)).requires_grad_(False).eval()
    return lambda row, policy: scorer(row.inputs, row.rows, row.targets, policy)


def _parts(group: Group, limit: int) -> list[Part]:
    """A group's tree, or as many as rows of `limit` tokens ask for, each with the advantages of its completions."""
    trees = split_tree(group.tree(), limit)
    advantages = group.advantages.split([len(tree.branches) for tree in trees])
    left = iter(group.engine_log_probs or [])
    return [
        Part(tree, values, torch.cat([next(left) for _ in tree.branches]) if group.engine_log_probs else None)
        for tree, values in zip(trees, advantages, strict=True)
    ]
