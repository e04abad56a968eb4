"""Multiple-choice questions on what comes next, made from the records themselves: for GRPO, and answered for SFT."""

import bisect
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from nep.data.bounds import broken_bound, folded
from nep.data.draw import stable_choice, stable_hash, stable_random
from nep.data.inputs import Item, LeftOut
from nep.data.multiple_choice import MultipleChoice
from nep.data.options import DISTRACTORS, arrange
from nep.data.prompts import VARIANTS, Prompts, Variant
from nep.rows.question import LETTERS
from nep.rows.record import Record

NEXT_EVENT_MC = "next_event_mc"
NEXT_CAPTION_MC = "next_caption_mc"
CAPTION = "caption"
# With more distinct events than this, a drawn part of them serves: their ordered selections are plenty.
EVENTS_FOR_SELECTIONS = 8
# So many videos of the same source are looked through for distractors.
NEIGHBOURS = 500

DistractorSource = Literal["same_video", "other_videos"]


@dataclass
class Continuations:
    """What came next in the training videos, by (source, kind), each list in the order of a hash.

    A record takes its distractors from those that follow its own hash: a new record changes only its neighbours'.
    """

    seed: int
    rings: dict[tuple[str, str], list[tuple[int, str, str]]] = field(default_factory=dict)

    def add(self, record: Record, kind: str, text: str) -> None:
        """Add what came next in one video. Call `seal` after the last one."""
        entry = (stable_hash(self.seed, "ring", record.id), record.id, text)
        self.rings.setdefault((record.source, kind), []).append(entry)

    def seal(self) -> None:
        """Put all lists in order."""
        for ring in self.rings.values():
            ring.sort()

    def after(self, record: Record, kind: str) -> Iterator[str]:
        """Texts of the NEIGHBOURS videos of the same source that follow the record's own place in the ring."""
        ring = self.rings.get((record.source, kind), [])
        place = bisect.bisect(ring, (stable_hash(self.seed, "ring", record.id), record.id, ""))
        for step in range(min(len(ring), NEIGHBOURS)):
            _, owner, text = ring[(place + step) % len(ring)]
            if owner != record.id:
                yield text


def kind_of(hops: int) -> str:
    """Name of the questions on the next `hops` events."""
    return f"hop{hops}"


def join_events(events: Sequence[str], joiner: str) -> str:
    """Events as one sentence: all but the first begin with a small letter."""
    return joiner.join([events[0], *(event[:1].lower() + event[1:] for event in events[1:])])


def collect_continuations(items: list[Item], hops: list[int], joiner: str, seed: int) -> Continuations:
    """Continuations of the training part alone: a validation video's text is not in a training question."""
    continuations = Continuations(seed)
    for item in items:
        if item.part != "train":
            continue
        for count in hops:
            if events := next_events(item.record, count):
                continuations.add(item.record, kind_of(count), join_events(events, joiner))
        if item.record.caption_part2 is not None:
            continuations.add(item.record, CAPTION, item.record.caption_part2)
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


def answered_sets(hops: list[int]) -> dict[str, tuple[Variant, int]]:
    """Name → (form of the answer, number of events) of each SFT set of answered questions."""
    pairs = itertools.product(VARIANTS, sorted(set(hops)))
    return {f"mc_{variant}_hop{count}": (variant, count) for variant, count in pairs}


def drawn(draws: Iterable[Callable[[], MultipleChoice]]) -> tuple[list[MultipleChoice], Counter[str]]:
    """The questions that `draws` give, and how many give none, by reason."""
    asked, left_out = [], Counter[str]()
    for draw in draws:
        try:
            asked.append(draw())
        except LeftOut as reason:
            left_out[reason.reason] += 1
    return asked, left_out


def draw_question(
    item: Item, hops: int, prompts: Prompts, source: DistractorSource, continuations: Continuations, seed: int
) -> MultipleChoice:
    """The question about the next `hops` events of a video. Raises LeftOut where its record gives none.

    Distractors with `same_video`: ordered selections of the record's own events, filled up from other videos; with
    `other_videos`: what came next in other videos of the same source.
    """
    record = item.record
    events = next_events(record, hops)
    if events is None:
        raise LeftOut("no_split_scene" if record.split_scene is None else "too_few_events_after_split")
    truth = join_events(events, prompts.sequence_joiner)
    text = stable_choice(prompts.question_pools.next_event_mc[hops], seed, record.id, NEXT_EVENT_MC, hops)
    others = continuations.after(record, kind_of(hops))
    if source == "same_video":
        candidates = itertools.chain(_selections(record, hops, prompts.sequence_joiner, seed), others)
        distractors = first_within_bounds(text, truth, candidates)
    else:
        distractors = around_the_truth(text, truth, others, seed, record.id, NEXT_EVENT_MC, hops)
    letter = stable_choice(LETTERS, seed, record.id, NEXT_EVENT_MC, hops, "position")
    return MultipleChoice(
        item, "first", kind_of(hops), kind_of(hops), text, arrange(truth, distractors, letter), letter
    )


def draw_caption_question(item: Item, prompts: Prompts, continuations: Continuations, seed: int) -> MultipleChoice:
    """The question for the whole second part: its caption, against those of other videos of the same source.

    Raises LeftOut where the record gives none.
    """
    record = item.record
    if record.caption_part2 is None:
        raise LeftOut("no_caption_part2")
    text = stable_choice(prompts.question_pools.next_caption_mc, seed, record.id, NEXT_CAPTION_MC)
    others = continuations.after(record, CAPTION)
    distractors = around_the_truth(text, record.caption_part2, others, seed, record.id, NEXT_CAPTION_MC)
    letter = stable_choice(LETTERS, seed, record.id, NEXT_CAPTION_MC, "position")
    options = arrange(record.caption_part2, distractors, letter)
    return MultipleChoice(item, "first", CAPTION, CAPTION, text, options, letter)


def first_within_bounds(question: str, truth: str, candidates: Iterable[str]) -> list[str]:
    """The first three candidates that differ from the truth and each other and keep the bounds with them.

    Raises LeftOut where there are not that many.
    """
    options = [truth]
    for text in candidates:
        if _may_join(question, options, text):
            options.append(text)
        if len(options) > DISTRACTORS:
            return options[1:]
    raise LeftOut("too_few_distractors")


def around_the_truth(question: str, truth: str, candidates: Iterable[str], *key: str | int) -> list[str]:
    """Three candidates within the bounds: a drawn number of them no longer than the truth, the others no shorter.

    So the truth is the longest option as often as the shortest one. Raises LeftOut where there are not that many.
    """
    no_longer = stable_choice(range(DISTRACTORS + 1), *key, "lengths")
    wanted = {"no_longer": no_longer, "no_shorter": DISTRACTORS - no_longer}
    options = [truth]
    for text in candidates:
        sides = [
            side
            for side, fits in (("no_longer", len(text) <= len(truth)), ("no_shorter", len(text) >= len(truth)))
            if fits and wanted[side]
        ]
        if sides and _may_join(question, options, text):
            wanted[sides[0]] -= 1
            options.append(text)
        if len(options) > DISTRACTORS:
            return options[1:]
    raise LeftOut("too_few_distractors")


def _may_join(question: str, options: list[str], text: str) -> bool:
    known = {folded(option) for option in options}
    return folded(text) not in known and broken_bound(question, [*options, text]) is None


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
