"""Multiple-choice questions on the next events, made from the records themselves: for GRPO, and answered for SFT."""

import bisect
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from nep.data.draw import stable_choice, stable_hash, stable_random
from nep.data.inputs import Item, LeftOut
from nep.data.prompts import VARIANTS, Prompts, Variant, reasoned_answer
from nep.data.sft_sets import VIDEO_PLACEHOLDER
from nep.records.schema import LETTERS, Record

NEXT_EVENT_MC = "next_event_mc"
DISTRACTORS = len(LETTERS) - 1
# With more distinct events than this, a drawn part of them serves: their ordered selections are plenty.
EVENTS_FOR_SELECTIONS = 8
# Two options are of similar length when their numbers of words differ by no more than this factor, or these words.
LENGTH_FACTOR = 1.5
LENGTH_WORDS = 3

DistractorSource = Literal["same_video", "other_videos"]


@dataclass
class Continuations:
    """What came next in the training videos, by (source, hops), each list in the order of a hash.

    A record takes its distractors from those that follow its own hash: a new record changes only its neighbours'.
    """

    seed: int
    rings: dict[tuple[str, int], list[tuple[int, str, str]]] = field(default_factory=dict)

    def add(self, record: Record, hops: int, text: str) -> None:
        """Add what came next in one video. Call `seal` after the last one."""
        entry = (stable_hash(self.seed, "ring", record.id), record.id, text)
        self.rings.setdefault((record.source, hops), []).append(entry)

    def seal(self) -> None:
        """Put all lists in order."""
        for ring in self.rings.values():
            ring.sort()

    def after(self, record: Record, hops: int) -> Iterator[str]:
        """Texts of other videos of the same source, from the record's own place on, once round."""
        ring = self.rings.get((record.source, hops), [])
        place = bisect.bisect(ring, (stable_hash(self.seed, "ring", record.id), record.id, ""))
        for _, owner, text in itertools.chain(ring[place:], ring[:place]):
            if owner != record.id:
                yield text


def join_events(events: Sequence[str], joiner: str) -> str:
    """Events as one sentence: all but the first begin with a small letter."""
    return joiner.join([events[0], *(event[:1].lower() + event[1:] for event in events[1:])])


def collect_continuations(items: list[Item], hops: list[int], joiner: str, seed: int) -> Continuations:
    """Continuations of the training part alone: a validation video's text is not in a training question."""
    continuations = Continuations(seed)
    for item, count in itertools.product(items, hops):
        events = next_events(item.record, count)
        if item.part == "train" and events is not None:
            continuations.add(item.record, count, join_events(events, joiner))
    continuations.seal()
    return continuations


def next_events(record: Record, hops: int) -> list[str] | None:
    """Descriptions of the first `hops` events after the split, as clauses; None where not all of them are known."""
    if record.split_scene is None:
        return None
    by_scene = {event.scene: as_clause(event.description) for event in record.events}
    wanted = range(record.split_scene + 1, record.split_scene + 1 + hops)
    return [by_scene[scene] for scene in wanted] if all(scene in by_scene for scene in wanted) else None


def as_clause(description: str) -> str:
    """A description that can be joined with another one: without the full stop at its end."""
    return description.strip().rstrip(".").rstrip()


@dataclass(frozen=True)
class NextEventQuestion:
    """A question about the first `hops` events after the cut; `options` maps letter to text."""

    item: Item
    hops: int
    text: str
    options: dict[str, str]
    letter: str

    def grpo_row(self, prompts: Prompts) -> dict[str, Any]:
        """The question, to be answered with reasoning."""
        return {
            **self._row(),
            "problem": self._problem(prompts, "reason"),
            "answer": self.letter,
            "kind": f"hop{self.hops}",
            "part": self.item.part,
        }

    def sft_row(self, prompts: Prompts, variant: Variant) -> dict[str, Any]:
        """The question and its answer as a dialogue; the reasoning is the right option's text."""
        answer = self.letter if variant == "direct" else reasoned_answer(self.options[self.letter], self.letter)
        turns = [
            {"role": "user", "content": self._problem(prompts, variant)},
            {"role": "assistant", "content": answer},
        ]
        return {**self._row(), "messages": turns}

    def _row(self) -> dict[str, Any]:
        record = self.item.record
        return {
            "id": f"{record.id}-hop{self.hops}",
            "video_id": record.id,
            "view": "first",
            "videos": [self.item.clip("first")],
        }

    def _problem(self, prompts: Prompts, variant: Variant) -> str:
        return VIDEO_PLACEHOLDER + prompts.multiple_choice(self.text, self.options, variant)


def answered_sets(hops: list[int]) -> dict[str, tuple[Variant, int]]:
    """Name → (form of the answer, number of events) of each SFT set of answered questions."""
    pairs = itertools.product(VARIANTS, sorted(set(hops)))
    return {f"mc_{variant}_hop{count}": (variant, count) for variant, count in pairs}


def draw_question(
    item: Item, hops: int, prompts: Prompts, source: DistractorSource, continuations: Continuations, seed: int
) -> NextEventQuestion:
    """The question about the next `hops` events of a video. Raises LeftOut where its record gives none."""
    record = item.record
    events = next_events(record, hops)
    if events is None:
        raise LeftOut("no_split_scene" if record.split_scene is None else "too_few_events_after_split")
    truth = join_events(events, prompts.sequence_joiner)
    distractors = draw_distractors(record, hops, truth, prompts.sequence_joiner, source, continuations, seed)
    letter = stable_choice(LETTERS, seed, record.id, NEXT_EVENT_MC, hops, "position")
    text = stable_choice(prompts.question_pools.next_event_mc[hops], seed, record.id, NEXT_EVENT_MC, hops)
    return NextEventQuestion(item, hops, text, arrange(truth, distractors, letter), letter)


def draw_distractors(
    record: Record,
    hops: int,
    truth: str,
    joiner: str,
    source: DistractorSource,
    continuations: Continuations,
    seed: int,
) -> list[str]:
    """Three texts that differ from the truth and from each other. Raises LeftOut where there are not that many.

    `same_video`: ordered selections of the record's own events, filled up from other videos; `other_videos`: what came
    next in other videos of the same source, of similar length.
    """
    candidates = (text for text in continuations.after(record, hops) if is_similar_length(text, truth))
    if source == "same_video":
        candidates = itertools.chain(_selections(record, hops, joiner, seed), candidates)
    taken = {_folded(truth)}
    distractors: list[str] = []
    for text in candidates:
        if _folded(text) not in taken:
            taken.add(_folded(text))
            distractors.append(text)
        if len(distractors) == DISTRACTORS:
            return distractors
    raise LeftOut("too_few_distractors")


def is_similar_length(text: str, other: str) -> bool:
    """By the number of words; see LENGTH_FACTOR and LENGTH_WORDS."""
    shorter, longer = sorted((len(text.split()), len(other.split())))
    return longer <= max(shorter * LENGTH_FACTOR, shorter + LENGTH_WORDS)


def arrange(truth: str, distractors: list[str], letter: str) -> dict[str, str]:
    """Options by letter, with the truth at `letter` and the distractors, in their order, at the others."""
    rest = iter(distractors)
    return {place: truth if place == letter else next(rest) for place in LETTERS}


def _selections(record: Record, hops: int, joiner: str, seed: int) -> list[str]:
    """All ordered selections of `hops` distinct events of a record, in a drawn order.

    Those come first that begin unlike the truth and unlike each other: none is right for a part of its way.
    """
    events = list(dict.fromkeys(as_clause(event.description) for event in record.events))
    random = stable_random(seed, record.id, NEXT_EVENT_MC, hops, "distractors")
    drawn = random.sample(events, min(len(events), EVENTS_FOR_SELECTIONS))
    selections = list(itertools.permutations(drawn, hops))
    random.shuffle(selections)
    beginnings = set(next_events(record, hops)[:1])
    preferred, others = [], []
    for selection in selections:
        (others if selection[0] in beginnings else preferred).append(join_events(selection, joiner))
        beginnings.add(selection[0])
    return preferred + others


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())
