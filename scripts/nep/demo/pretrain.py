"""The short pre-training of the tiny model: what a released base can do before it has learned to predict.

1. Matching, in text: a multiple-choice question and a given thought that states one of the options; the answer is its
   letter. First with options of one event, then of one to three.
2. Guessing: the whole form of an answer, direct or with reasoning, where nothing tells which option is right.
3. Naming what a still frame shows.

A still frame is shown once, or as a clip that stands still. Nothing here holds a next event of a video.
"""

import itertools
import math
import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import mean
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerBase, ProcessorMixin
from transformers.modeling_outputs import BaseModelOutputWithPooling

from nep.config.tiny_model import TinyModel
from nep.data.prompts import VARIANTS, Prompts, Variant, reasoned_answer
from nep.demo.muon import Muon
from nep.demo.questions import BETWEEN_EVENTS, HOP_QUESTIONS, between_question, option_sequences
from nep.demo.world import COLOURS, LAMPS, draw_scenario, frame_at, tell
from nep.model.family import Placeholder
from nep.model.packing import Tree, pack_row, tree_of
from nep.model.samples import SampleBuilder
from nep.model.scoring import Scorer
from nep.rows.question import LETTERS

# Shares of the steps. The first two phases end sooner where the mean loss of RECENT batches falls below LEARNED.
SINGLE_EVENTS_SHARE, MATCHING_SHARE = 0.4, 0.3
RECENT, LEARNED = 20, 0.1
WARM_UP_STEPS = 20
ALL_KINDS = ("matching", "guessing", "choosing", "naming", "describing")
LIT_QUESTION = "Which lamp is lit?"
LAMPS_QUESTION = "Which lamps are there, clockwise from the top?"
NAMING_QUESTIONS = ("What does this picture show?", LIT_QUESTION)
MOMENTS = (1, 8)


Phase = Literal["single_events", "matching", "all_kinds"]


@dataclass(frozen=True)
class Answer:
    """One answer to a lesson's question; `given` begins it, and is not learned."""

    given: str
    learned: str


@dataclass(frozen=True)
class Lesson:
    """One question and its answers, which are branches of one sequence.

    Attributes:
        frame: uint8 (size, size, 3), shown as a clip that stands still for `moments` steps of the temporal grid.
    """

    question: str
    answers: tuple[Answer, ...]
    frame: np.ndarray | None = None
    moments: int = 1


def corpus(prompts: Prompts) -> list[str]:
    """Texts whose words the tokenizer holds as single tokens: all prompts, and all that the world can say."""
    pools = prompts.question_pools
    questions = [*pools.next_event, *pools.full_caption, *pools.whole_video_next, *pools.previous_event]
    questions += [text for pool in pools.next_event_mc.values() for text in pool]
    questions += [*HOP_QUESTIONS.values(), *(between_question(colour) for colour in COLOURS)]
    wordings = [*prompts.instructions.model_dump().values(), *prompts.system.model_dump().values()]
    world = [f"{tell([colour, colour])}." for colour in COLOURS]
    letters = [
        prompts.option_line(letter, tell([colour])) + f"\n{letter}\n" for letter in LETTERS for colour in COLOURS
    ]
    return [
        *questions,
        *wordings,
        *world,
        *letters,
        *NAMING_QUESTIONS,
        LAMPS_QUESTION,
        "You are a helpful assistant",
        "system user",
    ]


def draw_lesson(rng: random.Random, prompts: Prompts, size: int, phase: Phase) -> Lesson:
    """A random lesson of a phase; stills are drawn at `size` pixels."""
    length = 1 if phase == "single_events" else rng.choice(sorted(prompts.question_pools.next_event_mc))
    if phase != "all_kinds":
        return draw_matching(rng, prompts, length)
    kind = rng.choice(ALL_KINDS)
    if kind == "naming":
        return draw_naming(rng, size)
    if kind == "describing":
        return draw_describing(rng, size)
    if kind == "choosing":
        return draw_choosing(rng, prompts, size)
    lesson = (
        draw_matching(rng, prompts, length, whole=True) if kind == "matching" else draw_guessing(rng, prompts, length)
    )
    if rng.random() < 0.5:
        return lesson
    return replace(lesson, frame=draw_still(rng, size)[0], moments=rng.choice(MOMENTS))


def draw_matching(rng: random.Random, prompts: Prompts, length: int, whole: bool = False) -> Lesson:
    """Four options of `length` events, and each as a given thought; its letter is to be learned.

    All four of one question: what tells them apart is then the thought alone, and the question is computed once.
    Where `whole`, the answer goes on to its end: easy tokens, which would hold up the learning of the letter before.
    """
    ask, options = _draw_question(rng, prompts, length, "reason")
    return Lesson(ask, tuple(_matched(thought, letter, whole) for letter, thought in options.items()))


def draw_guessing(rng: random.Random, prompts: Prompts, length: int) -> Lesson:
    """A question that nothing answers: every option is as good."""
    variant = rng.choice(VARIANTS)
    ask, options = _draw_question(rng, prompts, length, variant)
    return Lesson(ask, tuple(_answered(thought, letter, variant) for letter, thought in options.items()))


def draw_choosing(rng: random.Random, prompts: Prompts, size: int) -> Lesson:
    """A still frame, and the letter of the lamp that is lit in it."""
    frame, lit, colours = draw_still(rng, size)
    variant = rng.choice(VARIANTS)
    options = dict(zip(LETTERS, (tell([colour]) for colour in rng.sample(colours, len(colours))), strict=True))
    letter = next(letter for letter, thought in options.items() if thought == tell([lit]))
    ask = prompts.multiple_choice(LIT_QUESTION, options, variant)
    return Lesson(ask, (_answered(options[letter], letter, variant),), frame, rng.choice(MOMENTS))


def draw_naming(rng: random.Random, size: int) -> Lesson:
    """A still frame, and the lamp that is lit in it."""
    frame, lit, _ = draw_still(rng, size)
    return Lesson(rng.choice(NAMING_QUESTIONS), (Answer("", f"{tell([lit])}."),), frame, rng.choice(MOMENTS))


def draw_describing(rng: random.Random, size: int) -> Lesson:
    """A still frame, and all of its lamps by their places."""
    frame, _, colours = draw_still(rng, size)
    return Lesson(LAMPS_QUESTION, (Answer("", f"{tell(colours)}."),), frame, rng.choice(MOMENTS))


def _matched(thought: str, letter: str, whole: bool) -> Answer:
    given, _, end = reasoned_answer(thought, letter).rpartition(letter)
    return Answer(given, letter + end if whole else letter)


def _answered(thought: str, letter: str, variant: Variant) -> Answer:
    return Answer("", letter if variant == "direct" else reasoned_answer(thought, letter))


def _draw_question(rng: random.Random, prompts: Prompts, length: int, variant: Variant) -> tuple[str, dict[str, str]]:
    """A multiple-choice question as models see it, and the texts of its options by their letters."""
    sequences = option_sequences(rng.sample(sorted(COLOURS), LAMPS), length, rng)
    options = {letter: tell(sequence) for letter, sequence in zip(LETTERS, sequences, strict=True)}
    questions = [*prompts.question_pools.next_event_mc[length], HOP_QUESTIONS[length]]
    if length == BETWEEN_EVENTS:
        questions.append(between_question(rng.choice(sorted(COLOURS))))
    return prompts.multiple_choice(rng.choice(questions), options, variant), options


def draw_still(rng: random.Random, size: int) -> tuple[np.ndarray, str, tuple[str, ...]]:
    """A frame of a random world, uint8 (size, size, 3), the colour of the lamp that is lit in it, and all colours."""
    scenario = draw_scenario(rng)
    step = rng.randrange(len(scenario.events))
    seconds = scenario.event_time(step) + rng.uniform(-0.3, 0.3) * scenario.step_s
    return frame_at(scenario, seconds, size), scenario.events[step], scenario.colours


def still_key(number: int, moments: int) -> str:
    """Name of a batch's still clip: its number among them, and its temporal steps."""
    return f"{number}/{moments}"


class StillFrames:
    """The frames of a batch, run through the model's own vision side once; a clip repeats its frame's features."""

    def __init__(self, model: PreTrainedModel, processor: ProcessorMixin, frames: Sequence[np.ndarray]) -> None:
        clips = [torch.from_numpy(frame).permute(2, 0, 1)[None].repeat(2, 1, 1, 1) for frame in frames]
        made = processor.video_processor(videos=clips, do_resize=False, do_sample_frames=False, return_tensors="pt")
        encoded = model.model.get_video_features(made["pixel_values_videos"], made["video_grid_thw"])
        self._features = encoded.pooler_output

    def inputs(self, keys: Sequence[str]) -> dict[str, Any]:
        """Model inputs of the clips that `keys` name; see `still_key`."""
        numbers = [key.split("/") for key in keys]
        features = [self._features[int(number)].repeat(int(moments), 1) for number, moments in numbers]
        return {"mm_encoder_outputs": {"video": BaseModelOutputWithPooling(pooler_output=features)}} if keys else {}


class StillShapes:
    """The grid of a still clip is square; its key tells the number of temporal steps, of one second each."""

    def __init__(self, size: int, processor: ProcessorMixin) -> None:
        self._side = size // processor.video_processor.patch_size
        self._merge = processor.video_processor.merge_size

    def placeholder(self, key: str) -> Placeholder:
        """What stands for a still clip in a prompt."""
        grid = (int(key.split("/")[1]), self._side, self._side)
        return Placeholder("video", (("", math.prod(grid) // self._merge**2),), grid, 1.0)


def pretrain(
    model: PreTrainedModel, processor: ProcessorMixin, prompts: Prompts, tiny: TinyModel, size: int, seed: int
) -> None:
    """Train in place, on `pretrain_steps` batches at most."""
    rng = random.Random(f"pretrain/{seed}")
    builder = SampleBuilder(processor, model, StillShapes(size, processor))
    scorer = Scorer(model)
    optimizers = build_optimizers(model, tiny)
    taken = 0
    for phase, limit in _phases(tiny.pretrain_steps):
        losses: list[float] = []
        bar = tqdm(range(limit), desc=f"pretrain, {phase}", unit="step", file=sys.stderr, mininterval=5)
        for step in bar:
            lessons = [draw_lesson(rng, prompts, size, phase) for _ in range(tiny.pretrain_batch)]
            loss = batch_loss(scorer, processor, builder, lessons)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            remaining = 1 - step / limit if phase == "all_kinds" else 1.0
            for optimizer, rate in optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = rate * remaining * min(1.0, (taken + 1) / WARM_UP_STEPS)
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
            taken += 1
            losses.append(loss.item())
            bar.set_postfix(loss=f"{mean(losses[-RECENT:]):.3f}", refresh=False)
            if phase != "all_kinds" and step >= RECENT and mean(losses[-RECENT:]) < LEARNED:
                break


def build_optimizers(model: PreTrainedModel, tiny: TinyModel) -> list[tuple[torch.optim.Optimizer, float]]:
    """Muon (arXiv 2502.16982) for the matrices, AdamW for embeddings, biases and norms; each with its learning rate.

    With AdamW alone, how soon matching is learned differs by hundreds of steps between seeds.
    """
    embeddings = model.get_input_embeddings().weight
    matrices = [weight for weight in model.parameters() if weight.ndim == 2 and weight is not embeddings]
    others = [weight for weight in model.parameters() if weight.ndim != 2 or weight is embeddings]
    muon = Muon(matrices, lr=tiny.pretrain_matrix_lr)
    adam = torch.optim.AdamW(others, lr=tiny.pretrain_lr, betas=(0.9, 0.98), weight_decay=0.0)
    return [(muon, tiny.pretrain_matrix_lr), (adam, tiny.pretrain_lr)]


def _phases(steps: int) -> list[tuple[Phase, int]]:
    """The phases in their order, each with the most steps that it takes."""
    single, matching = round(SINGLE_EVENTS_SHARE * steps), round(MATCHING_SHARE * steps)
    return [("single_events", single), ("matching", matching), ("all_kinds", steps - single - matching)]


def batch_loss(scorer: Scorer, processor: ProcessorMixin, builder: SampleBuilder, lessons: list[Lesson]) -> Tensor:
    """Mean cross-entropy of the learned tokens."""
    frames = [lesson.frame for lesson in lessons if lesson.frame is not None]
    visuals = StillFrames(scorer.model, processor, frames) if frames else NoVisuals()
    stills = itertools.count()
    trees = [_tree(builder, processor.tokenizer, lesson, stills) for lesson in lessons]
    row = pack_row(trees, visuals, True, torch.device("cpu"))
    return -scorer(row.inputs, row.rows, row.targets).mean()


class NoVisuals:
    """A batch of text only."""

    def inputs(self, keys: Sequence[str]) -> dict[str, Any]:
        """No model inputs."""
        return {}


def _tree(builder: SampleBuilder, tokenizer: PreTrainedTokenizerBase, lesson: Lesson, stills: Iterator[int]) -> Tree:
    keys = [still_key(next(stills), lesson.moments)] if lesson.frame is not None else []
    question = {"role": "user", "content": ("<video>" if keys else "") + lesson.question}
    samples = []
    for answer in lesson.answers:
        turns = [question, {"role": "assistant", "content": answer.given + answer.learned}]
        sample = builder.dialogue("lesson", turns, keys)
        given = len(tokenizer.tokenize(answer.given))
        samples.append(replace(sample, prompt_length=sample.prompt_length + given))
    return tree_of(samples)
