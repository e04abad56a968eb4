"""The short pre-training of the tiny model: what a released base can do before it has learned to predict.

1. Multiple choice in text: a note states what happens, the question asks for it, the answer is a letter, with or
   without `<think>`.
2. Naming what a still frame shows.

Nothing here holds a next event of a video.
"""

import itertools
import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm
from transformers import PreTrainedModel, ProcessorMixin
from transformers.modeling_outputs import BaseModelOutputWithPooling

from nep.config import TinyModel
from nep.data.prompts import Prompts
from nep.demo.questions import LETTERS, option_sequences
from nep.demo.world import COLOURS, LAMPS, draw_scenario, frame_at, tell
from nep.train.batches import deal, sft_micro_batch
from nep.train.samples import Sample, SampleBuilder
from nep.train.schedule import learning_rate

TEXT_CHUNKS = 2
# Matching an answer to its letter is learned on single events first, several times sooner than on all lengths at once.
SINGLE_EVENT_FRACTION = 0.4
PLACES = ("top", "right", "bottom", "left")
TEXT_ONLY_FRACTION = 0.8
NOTE = "Note: {events}."
NAMING_QUESTIONS = ("What does this picture show?", "Which lamp is lit?", "Which lamp is at the {place}?")


@dataclass(frozen=True)
class Lesson:
    """One exchange; `frame` is uint8 (size, size, 3) where the question is about a still frame."""

    question: str
    answer: str
    frame: Any | None = None


def corpus(prompts: Prompts) -> list[str]:
    """Texts whose words the tokenizer holds as single tokens: all prompts, and all that the world can say."""
    pools = prompts.question_pools
    questions = [*pools.next_event, *pools.full_caption, *pools.whole_video_next, *pools.previous_event]
    questions += [text for pool in pools.next_event_mc.values() for text in pool]
    wordings = [*prompts.instructions.model_dump().values(), *prompts.system.model_dump().values(), NOTE]
    world = [f"{tell([colour, colour])}." for colour in COLOURS]
    world += [f"{colour.capitalize()} is at the {place}." for colour in COLOURS for place in PLACES]
    firsts = [f"\n{tell([colour])}\n" for colour in COLOURS]
    letters = [
        prompts.option_line(letter, tell([colour])) + f"\n{letter}\n" for letter in LETTERS for colour in COLOURS
    ]
    return [
        *questions,
        *wordings,
        *world,
        *firsts,
        *letters,
        *NAMING_QUESTIONS,
        "You are a helpful assistant",
        "system user",
    ]


def draw_lesson(rng: random.Random, prompts: Prompts, size: int, longest: int) -> Lesson:
    """A random lesson: stills are drawn at `size` pixels, notes state `longest` events at most."""
    if rng.random() < TEXT_ONLY_FRACTION:
        return draw_multiple_choice(rng, prompts, longest)
    return draw_naming(rng, size)


def draw_multiple_choice(rng: random.Random, prompts: Prompts, longest: int) -> Lesson:
    """A note that states a sequence of events, and a question that one of four options answers with it."""
    length = min(longest, rng.choice((1, 1, 2, 3)))
    colours = rng.sample(sorted(COLOURS), LAMPS)
    sequences = option_sequences(colours, length, rng)
    texts = [tell(sequence) for sequence in sequences]
    letter = rng.choice(LETTERS)
    truth = texts[LETTERS.index(letter)]
    variant = rng.choice(("direct", "reason"))
    ask = prompts.multiple_choice(
        rng.choice(prompts.question_pools.next_event_mc[length]), dict(zip(LETTERS, texts, strict=True)), variant
    )
    note = NOTE.format(events=truth)
    answer = letter if variant == "direct" else f"<think>\n{truth}\n</think>\n<answer>\n{letter}\n</answer>"
    return Lesson(f"{note}\n{ask}", answer)


def draw_naming(rng: random.Random, size: int) -> Lesson:
    """A still frame of a random world, and a question about what is seen in it."""
    scenario = draw_scenario(rng)
    step = rng.randrange(len(scenario.events))
    frame = frame_at(scenario, scenario.event_time(step) + rng.uniform(-0.3, 0.3) * scenario.step_s, size)
    question = rng.choice(NAMING_QUESTIONS)
    if "{place}" in question:
        place = rng.randrange(LAMPS)
        question = question.format(place=PLACES[place])
        return Lesson(question, f"{scenario.colours[place].capitalize()} is at the {PLACES[place]}.", frame)
    return Lesson(question, f"{tell([scenario.events[step]])}.", frame)


class StillFrames:
    """The frames of a batch as two-frame clips, run through the model's own vision side in one pass."""

    def __init__(self, model: PreTrainedModel, processor: ProcessorMixin, frames: Sequence[Any]) -> None:
        clips = [torch.from_numpy(frame).permute(2, 0, 1)[None].repeat(2, 1, 1, 1) for frame in frames]
        made = processor.video_processor(videos=clips, do_resize=False, do_sample_frames=False, return_tensors="pt")
        encoded = model.model.get_video_features(made["pixel_values_videos"], made["video_grid_thw"])
        self._features = encoded.pooler_output

    def inputs(self, keys: Sequence[str]) -> dict[str, Any]:
        """Model inputs of the clips that `keys` number."""
        features = [self._features[int(key)] for key in keys]
        return {"mm_encoder_outputs": {"video": BaseModelOutputWithPooling(pooler_output=features)}} if keys else {}


class StillShapes:
    """Every still clip has one temporal step and a square grid."""

    def __init__(self, size: int, processor: ProcessorMixin) -> None:
        side = size // processor.video_processor.patch_size
        self._grid = (1, side, side)

    def grid(self, key: str) -> tuple[int, int, int]:
        """Grid (t, h, w) in patches."""
        return self._grid

    def second_per_grid(self, key: str) -> float:
        """Seconds between two steps of the temporal grid."""
        return 1.0


def pretrain(
    model: PreTrainedModel, processor: ProcessorMixin, prompts: Prompts, tiny: TinyModel, size: int, seed: int
) -> None:
    """Train in place on `pretrain_steps` batches."""
    rng = random.Random(f"pretrain/{seed}")
    builder = SampleBuilder(processor, model, StillShapes(size, processor))
    optimizer = torch.optim.AdamW(model.parameters(), lr=tiny.pretrain_lr, betas=(0.9, 0.98), weight_decay=0.0)
    for step in tqdm(range(tiny.pretrain_steps), desc="pretrain", unit="step", file=sys.stderr, mininterval=5):
        longest = 1 if step < SINGLE_EVENT_FRACTION * tiny.pretrain_steps else max(prompts.question_pools.next_event_mc)
        lessons = [draw_lesson(rng, prompts, size, longest) for _ in range(tiny.pretrain_batch)]
        loss = _batch_loss(model, processor, builder, lessons)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        rate = learning_rate(step, tiny.pretrain_steps, tiny.pretrain_lr, 0.05, "cosine")
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)


def _batch_loss(
    model: PreTrainedModel, processor: ProcessorMixin, builder: SampleBuilder, lessons: list[Lesson]
) -> Tensor:
    """Mean cross-entropy of the labelled tokens; stills apart from text, short texts apart from long ones."""
    frames = [lesson.frame for lesson in lessons if lesson.frame is not None]
    visuals = StillFrames(model, processor, frames) if frames else NoVisuals()
    samples = list(_samples(builder, lessons))
    stills = [sample for sample in samples if sample.video_keys]
    texts = deal([sample for sample in samples if not sample.video_keys], TEXT_CHUNKS, len)
    total = torch.zeros(())
    for chunk in (stills, *texts):
        if chunk:
            micro = sft_micro_batch(chunk, visuals, processor.tokenizer.pad_token_id, model.device)
            logits = model(**micro.inputs, use_cache=False).logits
            total = total + F.cross_entropy(logits.float(), micro.targets, reduction="sum")
    return total / sum(sample.labelled for sample in samples)


class NoVisuals:
    """A batch of text only."""

    def inputs(self, keys: Sequence[str]) -> dict[str, Any]:
        """No model inputs."""
        return {}


def _samples(builder: SampleBuilder, lessons: list[Lesson]) -> Iterator[Sample]:
    stills = itertools.count()
    for index, lesson in enumerate(lessons):
        keys = [str(next(stills))] if lesson.frame is not None else []
        question = ("<video>" if keys else "") + lesson.question
        turns = [{"role": "user", "content": question}, {"role": "assistant", "content": lesson.answer}]
        yield builder.dialogue(f"lesson {index}", turns, keys)
