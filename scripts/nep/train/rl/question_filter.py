"""Which questions a run asks, by what the model answers to them: neither too easy nor too hard, and worth seeing.

What was measured stands in `measured.jsonl` beside the checkpoints, row by row as it comes, so that a run that was
killed goes on with the same questions.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm
from transformers import PreTrainedModel

from nep.config.grpo import Grpo
from nep.errors import InputError
from nep.model.samples import Sample
from nep.model.visual import Visuals
from nep.train.distributed import DistributedContext
from nep.train.rl.decoding import uniforms
from nep.train.rl.experience import is_within
from nep.train.rl.questions import Question
from nep.train.rl.rewards import is_accurate
from nep.train.rl.rollout import Completion, RolloutEngine
from nep.train.runtime.step_log import StepLog

LOG = "measured.jsonl"
DIFFICULTY, SEEN, UNSEEN = "difficulty", "seen", "unseen"
KEPT = "kept"

# What is called where no rollout is under way; it may end the run.
Between = Callable[[], None]


@dataclass(frozen=True)
class Choice:
    """The questions that are asked after `step` steps, as indices, and how many were left out for which reason."""

    step: int
    kept: list[int]
    counts: dict[str, int]

    def __str__(self) -> str:
        counts = dict(self.counts)
        asked, kept = counts.pop("questions"), counts.pop(KEPT)
        reasons = ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in counts.items() if count)
        return f"step {self.step}: {kept} of {asked} questions are asked" + (f" ({reasons})" if reasons else "")


class Measured:
    """Shares of right answers, sampled by the trainer's own rollout; each question is sampled once for a purpose.

    Attribute: `sampled`, how many completions that were.
    """

    def __init__(
        self,
        grpo: Grpo,
        seed: int,
        rollout: RolloutEngine,
        visuals: Visuals,
        text: Callable[[Completion], str],
        distributed: DistributedContext,
        work: Path,
        start: int,
    ) -> None:
        """`start`: steps that the run has taken; what was measured later, by weights that are lost, is dropped."""
        self._grpo = grpo
        self._seed = seed
        self._rollout = rollout
        self._visuals = visuals
        self._text = text
        self._distributed = distributed
        self._log = StepLog(work / LOG, start, distributed.is_main_process, keep_start=True)
        self._right: dict[tuple[int, str], dict[str, int]] = {}
        self.sampled = 0
        for row in self._log.kept:
            self._note(row)

    def shares(
        self,
        model: PreTrainedModel | None,
        step: int,
        purpose: str,
        asked: Sequence[tuple[Sample, str]],
        samples: int,
        between: Between,
    ) -> list[float]:
        """Share of right answers to each of `asked` (prompt and right letter) among `samples` completions.

        All processes must call it with the same questions; each samples its share. `model`: the policy after `step`
        steps, None where it has gone on since: then all must have been measured. Raises InputError where it was not.
        """
        right = self._right.setdefault((step, purpose), {})
        missing = [(prompt, answer) for prompt, answer in asked if prompt.id not in right]
        if missing and model is None:
            raise InputError(
                f"{self._log.path}: {len(missing)} of {len(asked)} questions have no {purpose!r} of step {step}, and "
                "the weights of that step are gone; delete its folder, and the training starts anew"
            )
        size, shows = self._batch_size(samples), bool(missing) and self._distributed.is_main_process
        for start in tqdm(range(0, len(missing), size), purpose, file=sys.stderr, disable=not shows):
            between()
            batch = missing[start : start + size]
            found = self._counts(model, step, purpose, batch, samples)
            counts = {prompt.id: count for (prompt, _), count in zip(batch, found, strict=True)}
            row = {"step": step, "purpose": purpose, "samples": samples, "right": counts}
            self._log.write(row)
            self._note(row)
        return [right[prompt.id] / samples for prompt, _ in asked]

    def _note(self, row: dict[str, Any]) -> None:
        self._right.setdefault((row["step"], row["purpose"]), {}).update(row["right"])
        self.sampled += row["samples"] * len(row["right"])

    def _batch_size(self, samples: int) -> int:
        """Questions that all processes sample at once: as many completions as in a step's rollout."""
        return max(self._distributed.size, self._grpo.prompts_per_step * self._grpo.completions // samples)

    def _counts(
        self, model: PreTrainedModel, step: int, purpose: str, batch: Sequence[tuple[Sample, str]], samples: int
    ) -> list[int]:
        """Right answers to each question of a batch, over all processes."""
        counts = [0.0] * len(batch)
        own = range(self._distributed.rank, len(batch), self._distributed.size)
        prompts = [batch[place][0] for place in own]
        limit = self._grpo.max_new_tokens
        if prompts:
            draws = [uniforms(self._seed, step, purpose, prompt, samples, limit) for prompt in prompts]
            groups = self._rollout(model, prompts, self._visuals, torch.stack(draws))
            for place, group in zip(own, groups, strict=True):
                counts[place] = sum(is_accurate(self._text(completion), batch[place][1]) for completion in group)
        return [round(count) for count in self._distributed.all_reduce_sum(counts)]


class QuestionFilter:
    """The choice of a run's questions: those with enough visual gain, then those of a fitting difficulty."""

    def __init__(self, grpo: Grpo, questions: Sequence[Question], measured: Measured) -> None:
        self._gain = grpo.visual_gain
        self._difficulty = grpo.difficulty
        self._questions = questions
        self._measured = measured
        self.choices: list[Choice] = []

    def is_due(self, step: int) -> bool:
        """Whether the questions are chosen before step `step` (from 0)."""
        every = self._difficulty.refresh_every if self._difficulty else None
        return step % every == 0 if every else step == 0

    def results(self) -> dict[str, Any]:
        """For the manifest: each choice, and how many completions were sampled for all of them."""
        chosen = [{"step": choice.step, **choice.counts} for choice in self.choices]
        return {"chosen": chosen, "samples_to_choose": self._measured.sampled}

    def choose(self, model: PreTrainedModel | None, step: int, between: Between) -> Choice:
        """The questions that are asked after `step` steps; see `Measured.shares`.

        Raises InputError with the numbers where none is left.
        """
        candidates, counts = list(range(len(self._questions))), {"questions": len(self._questions)}
        if self._gain:
            # Of the start model alone: what a video adds to a text does not grow with training.
            gains = self._gains(model if step == 0 else None, between)
            candidates = [place for place, gain in enumerate(gains) if gain is not None and gain >= self._gain.least]
            counts |= {"not_seen": gains.count(None)}
            counts |= {"no_gain": len(gains) - counts["not_seen"] - len(candidates)}
        if self._difficulty:
            least, most = self._difficulty.keep
            asked = [(self._questions[place].prompt, self._questions[place].answer) for place in candidates]
            shares = self._measured.shares(model, step, DIFFICULTY, asked, self._difficulty.samples, between)
            counts |= {"too_hard": sum(share < least for share in shares)}
            counts |= {"too_easy": sum(share > most for share in shares)}
            found = zip(candidates, shares, strict=True)
            candidates = [place for place, share in found if is_within(share, (least, most))]
        choice = Choice(step, candidates, {**counts, KEPT: len(candidates)})
        if not candidates:
            raise InputError(f"grpo: {choice}: nothing is left to ask; {self._advice()}")
        self.choices.append(choice)
        return choice

    def _advice(self) -> str:
        less = [f"lower visual_gain.least ({self._gain.least})"] if self._gain else []
        wider = [f"widen difficulty.keep ({list(self._difficulty.keep)})"] if self._difficulty else []
        return " or ".join([*less, *wider])

    def _gains(self, model: PreTrainedModel | None, between: Between) -> list[float | None]:
        """Share right with the part minus the one without a video, of each question; None where it has no part."""
        places = [place for place, question in enumerate(self._questions) if question.with_part is not None]
        questions = [self._questions[place] for place in places]
        seen = [(question.with_part, question.answer) for question in questions]
        unseen = [(question.text_only, question.answer) for question in questions]
        shares = [
            self._measured.shares(model, 0, purpose, asked, self._gain.samples, between)
            for purpose, asked in ((SEEN, seen), (UNSEEN, unseen))
        ]
        gains: list[float | None] = [None] * len(self._questions)
        for place, with_part, without in zip(places, *shares, strict=True):
            gains[place] = with_part - without
        return gains
