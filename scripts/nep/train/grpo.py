"""Group relative policy optimisation on cached video features: roll out, reward, one optimiser step on the groups.

Settings and formulas: FACTS of the published system; DeepSeekMath, arXiv 2402.03300. With one optimiser step a rollout
the old log-probs are the detached current ones.
"""

import itertools
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm
from transformers import AutoProcessor, PreTrainedModel, ProcessorMixin

from nep.config import Grpo
from nep.data.selection import select_grpo
from nep.encode.cache import VisionCache
from nep.errors import InputError
from nep.files import read_jsonl
from nep.train.advantages import group_normalised, zero_variance
from nep.train.batches import draw
from nep.train.checkpoint import Checkpoints
from nep.train.engine import Engine, load_model
from nep.train.groups import Group, token_advantages
from nep.train.losses import clipped_policy_loss, grpo_loss, k3_divergence
from nep.train.metrics import StepLog, peak_memory_bytes
from nep.train.packing import PackedRow, Tree, deal_packs, pack_row, separate
from nep.train.rewards import is_accurate, score, weighted
from nep.train.rollout import Completion, decoding_for, rollout, uniforms
from nep.train.run_state import RunPaths, publish, recipe_fingerprint, work_folder
from nep.train.samples import Sample, SampleBuilder, video_keys
from nep.train.schedule import learning_rate
from nep.train.scoring import Scorer
from nep.train.visual import Visuals
from nep.train.world import World, start_world

STAGE = "grpo"


@dataclass(frozen=True)
class Question:
    """A prompt and the letter that is right."""

    prompt: Sample
    answer: str


def train_grpo(grpo: Grpo, seed: int, experiment: str, paths: RunPaths) -> None:
    """Train, resuming from the newest checkpoint of the same recipe, and write the outputs of the stage."""
    world = start_world(grpo.threads)
    if grpo.prompts_per_step < world.size:
        raise InputError(f"grpo.prompts_per_step ({grpo.prompts_per_step}) is below the {world.size} processes")
    files = dataset_files(grpo, paths.convert)
    fingerprint = recipe_fingerprint(STAGE, grpo, seed, world.size, list(files.values()), paths)
    work = work_folder(paths, STAGE, experiment, fingerprint)

    engine = Engine(paths.model, grpo, world)
    trainer = GrpoTrainer(grpo, seed, engine, files, paths)
    checkpoints = Checkpoints(work, engine)
    start = checkpoints.restore()
    metrics, validation, timings = (
        StepLog(work / f"{name}.jsonl", start, world.leads) for name in ("metrics", "validation", "timings")
    )
    if start == 0:
        validation.write({"step": 0, **trainer.validate()})
    bar = tqdm(total=grpo.steps, initial=start, desc=STAGE, unit="step", file=sys.stderr, disable=not world.leads)
    for step in range(start, grpo.steps):
        row, timing = trainer.step(step)
        metrics.write({"step": step + 1, **row})
        timings.write({"step": step + 1, **timing})
        bar.update()
        bar.set_postfix(reward=f"{row['reward']:.3f}", kl=f"{row['kl']:.4f}")
        ends = step + 1 == grpo.steps
        if ends or (step + 1) % grpo.validate_every == 0:
            validation.write({"step": step + 1, **trainer.validate()})
        if ends or (step + 1) % grpo.checkpoint_every == 0:
            checkpoints.save(step + 1)
    bar.close()
    results = {"steps": grpo.steps, "samples": grpo.steps * grpo.prompts_per_step * grpo.completions}
    final = read_jsonl(metrics.path)[-1]
    results |= {"final_loss": final["loss"], "final_reward": final["reward"], "without_video": trainer.without_video}
    publish(engine, paths, [metrics, validation, timings], results)


class GrpoTrainer:
    """Steps and validations of a run, each a function of (seed, step) and the current weights."""

    def __init__(self, grpo: Grpo, seed: int, engine: Engine, files: dict[str, Path], paths: RunPaths) -> None:
        self._grpo = grpo
        self._seed = seed
        self._engine = engine
        self._world: World = engine.world
        self._processor: ProcessorMixin = AutoProcessor.from_pretrained(paths.model, local_files_only=True)
        cache = VisionCache(paths.encode)
        self._visuals = Visuals(cache, self._processor, grpo, self._world.device)
        self._decoding = decoding_for(engine.model, self._processor, grpo.temperature, grpo.max_new_tokens)
        builder = SampleBuilder(self._processor, engine.model, cache)
        self._train, self._validation, self.without_video = load_questions(grpo, seed, files, builder, cache)
        self._visuals.check(engine.model, [question.prompt for question in self._train])
        self._reference = load_reference(paths.model, grpo, self._world.device)

    def step(self, step: int) -> tuple[dict[str, float], dict[str, float]]:
        """One rollout and one optimiser step; the rows of metrics.jsonl and of timings.jsonl, without `step`."""
        began = time.monotonic()
        grpo, world = self._grpo, self._world
        drawn = draw(len(self._train), grpo.prompts_per_step, self._seed, step)
        slots = range(world.rank, grpo.prompts_per_step, world.size)
        questions = [self._train[drawn[slot]] for slot in slots]
        completions = self._roll_out(step, slots, questions)
        rolled = time.monotonic()

        counted, groups = self._groups(questions, completions)
        totals = dict(zip(counted, world.total(list(counted.values())), strict=True))
        rate = learning_rate(step, grpo.steps, grpo.lr, grpo.warmup_ratio, grpo.schedule)
        sums = self._accumulate(groups, totals["tokens"])
        norm = self._engine.step(rate)
        loss, divergence, entropy = world.total(sums)
        ended = time.monotonic()

        number = grpo.prompts_per_step * grpo.completions
        row = {
            "loss": loss,
            "kl": divergence,
            "entropy": entropy,
            **{name: totals[name] / number for name in totals if name.startswith("reward")},
            "accuracy": totals["accuracy"] / number,
            "completion_tokens": totals["tokens"] / number,
            "zero_variance_groups": totals["zero_variance_groups"] / grpo.prompts_per_step,
            "truncated": totals["truncated"] / number,
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

    def validate(self) -> dict[str, float | None]:
        """Mean reward and accuracy of greedy completions on the held-out questions; null where there are none."""
        grpo, world = self._grpo, self._world
        model = self._decoding_model()
        rewards, accurate = 0.0, 0.0
        own = self._validation[world.rank :: world.size]
        for start in range(0, len(own), grpo.prompts_per_step):
            questions = own[start : start + grpo.prompts_per_step]
            prompts = [question.prompt for question in questions]
            completions = rollout(model, prompts, self._visuals, self._decoding, draws=None)
            for question, (completion,) in zip(questions, completions, strict=True):
                text = self._text(completion)
                rewards += weighted(score(text, question.answer, grpo.rewards), grpo.rewards)
                accurate += is_accurate(text, question.answer)
        self._engine.model.train()
        reward, accuracy, count = world.total([rewards, accurate, len(own)])
        return {"reward": reward / count, "accuracy": accuracy / count} if count else {"reward": None, "accuracy": None}

    def _roll_out(self, step: int, slots: Sequence[int], questions: list[Question]) -> list[list[Completion]]:
        grpo = self._grpo
        prompts = [question.prompt for question in questions]
        draws = torch.stack(
            [
                uniforms(self._seed, step, slot, prompt, grpo.completions, grpo.max_new_tokens)
                for slot, prompt in zip(slots, prompts, strict=True)
            ]
        )
        completions = rollout(self._decoding_model(), prompts, self._visuals, self._decoding, draws)
        self._engine.model.train()
        return completions

    def _decoding_model(self) -> PreTrainedModel:
        # Gradient checkpointing switches the cache off in training mode.
        return self._engine.plain_model().eval()

    def _groups(
        self, questions: list[Question], completions: list[list[Completion]]
    ) -> tuple[dict[str, float], list[Group]]:
        """This process's groups with their advantages, and its sums over completions for the metrics."""
        weights = self._grpo.rewards
        texts = [[self._text(completion) for completion in group] for group in completions]
        scores = [
            [score(text, question.answer, weights) for text in group]
            for question, group in zip(questions, texts, strict=True)
        ]
        rewards = torch.tensor([[weighted(item, weights) for item in group] for group in scores])
        counted = {
            "reward": rewards.sum().item(),
            **{f"reward_{name}": sum(item[name] for group in scores for item in group) for name in weights},
            "accuracy": sum(
                is_accurate(text, question.answer)
                for question, group in zip(questions, texts, strict=True)
                for text in group
            ),
            "tokens": sum(len(completion.tokens) for group in completions for completion in group),
            "truncated": sum(not completion.finished for group in completions for completion in group),
            "zero_variance_groups": int(zero_variance(rewards).sum()),
        }
        groups = [
            Group(question.prompt, [completion.tokens for completion in group], advantages)
            for question, group, advantages in zip(questions, completions, group_normalised(rewards), strict=True)
        ]
        return counted, groups

    def _accumulate(self, groups: list[Group], tokens: float) -> list[float]:
        """Gradients of all groups; this process's share of mean loss, mean KL and mean entropy."""
        rows = self._packs(groups)
        sums = torch.zeros(3, dtype=torch.float64)
        for index, (row, advantages, counts) in enumerate(rows):
            terms = self._terms(row, advantages).sum(dim=1) / tokens * counts
            self._engine.accumulate(terms[0], last=index == len(rows) - 1)
            sums += terms.detach().double().cpu()
        return sums.tolist()

    def _packs(self, groups: list[Group]) -> list[tuple[PackedRow, Tensor, bool]]:
        """The groups as rows, each with its tokens' advantages; all processes get equally many.

        A row that does not count fills up: its process still takes part in the collectives.
        """
        packs, device = self._engine.packs, self._world.device
        parts = [(group.tree(), token_advantages([group])) for group in groups]
        if not packs:
            parts = [part for tree, advantages in parts for part in _one_by_one(tree, advantages)]
        limit = self._grpo.pack_tokens if packs else 1
        dealt = deal_packs(parts, 1, limit, lambda part: len(part[0]))[0]
        missing = self._world.largest(len(dealt)) - len(dealt)
        chosen = [(pack, True) for pack in dealt] + [(dealt[0], False)] * missing
        return [
            (
                pack_row([tree for tree, _ in pack], self._visuals, packs, device),
                torch.cat([advantages for _, advantages in pack]).to(device),
                counts,
            )
            for pack, counts in chosen
        ]

    def _terms(self, row: PackedRow, advantages: Tensor) -> Tensor:
        """(3, N): loss, KL and entropy of each completion token."""
        grpo = self._grpo
        policy = self._decoding
        log_probs, entropies = self._engine.score(row, policy)
        divergence = torch.zeros_like(log_probs)
        if self._reference is not None:
            with torch.no_grad():
                reference, _ = self._reference(row.inputs, row.rows, row.targets, policy)
            divergence = k3_divergence(log_probs, reference)
        policy_loss = clipped_policy_loss(log_probs, log_probs.detach(), advantages, grpo.clip)
        loss = grpo_loss(policy_loss, divergence, entropies, grpo.kl_coef, grpo.entropy_coef)
        return torch.stack([loss, divergence, entropies])

    def _text(self, completion: Completion) -> str:
        return self._processor.tokenizer.decode(completion.tokens, skip_special_tokens=True)


def load_reference(folder: Path, grpo: Grpo, device: torch.device) -> Scorer | None:
    """The frozen start model that the KL term refers to; None where its coefficient is 0."""
    if grpo.kl_coef == 0:
        return None
    return Scorer(load_model(folder, grpo, device)).requires_grad_(False).eval()


def _one_by_one(tree: Tree, advantages: Tensor) -> Iterator[tuple[Tree, Tensor]]:
    """Each branch of a group's tree as a sequence of its own, with its tokens' advantages."""
    lengths = [branch.tokens.shape[0] for branch in tree.branches]
    return zip(separate(tree), advantages.split(lengths), strict=True)


def dataset_files(grpo: Grpo, convert: Path) -> dict[str, Path]:
    """The file of each data set. Raises InputError naming the sets that exist when one does not."""
    files = {name: convert / STAGE / f"{name}.jsonl" for name in grpo.datasets}
    for name, path in files.items():
        if not path.is_file():
            known = ", ".join(sorted(item.stem for item in path.parent.glob("*.jsonl")))
            raise InputError(f"grpo.datasets: no data set {name!r} ({path}); there are: {known or 'none'}")
    return files


def load_questions(
    grpo: Grpo, seed: int, files: dict[str, Path], builder: SampleBuilder, cache: VisionCache
) -> tuple[list[Question], list[Question], int]:
    """Questions of the train part (at most N of a set) and of the validation part, and how many rows have no video.

    Raises InputError for a prompt above `max_prompt_tokens`, and when no question is left to train on.
    """
    rows = list(itertools.chain.from_iterable(select_grpo(files, grpo, seed).values()))
    usable = [row for row in rows if all(key in cache for key in video_keys(row))]
    parts: dict[str, list[Question]] = {"train": [], "validation": []}
    for row in usable:
        prompt = builder.prompt(row["id"], [{"role": "user", "content": row["problem"]}], video_keys(row))
        if len(prompt) > grpo.max_prompt_tokens:
            raise InputError(
                f"record {prompt.id}: {len(prompt)} prompt tokens, above grpo.max_prompt_tokens = "
                f"{grpo.max_prompt_tokens}; raise it, or lower the frame or pixel budget in 'vision'"
            )
        parts[row["part"]].append(Question(prompt, row["answer"]))
    if not parts["train"]:
        raise InputError(
            f"grpo.datasets: no question left of {len(rows)} rows in {', '.join(map(str, files.values()))}"
        )
    return parts["train"], parts["validation"], len(rows) - len(usable)
