"""The data sets for supervised fine-tuning, as tables, and the functions that make the rows of any of them.

Source of the sets with a published name: arXiv 2505.22457 and its repository sail-sg/Video-Next-Event-Prediction.
"""

import string
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from nep.data.draw import stable_choice, take_first_by_hash
from nep.data.inputs import Item, LeftOut
from nep.data.prompts import Prompts
from nep.rows.dataset import Message, SftRow, View
from nep.rows.record import Record

VIDEO_PLACEHOLDER = "<video>"


@dataclass(frozen=True)
class SftSet:
    """One data set: a video's `view` and a question → `target`.

    `question` and `target` are templates over the texts of a record; `{question}` is the wording drawn from `pool`, or
    the record's own question where `pairs` names its list of question / answer pairs. A record that lacks a text which
    the set needs is left out of it. `published_as`: name of the reference's file, None where it has none.
    """

    name: str
    published_as: str | None
    view: View
    target: str
    question: str = "{question}"
    pool: Literal["next_event", "full_caption", "whole_video_next", "previous_event"] | None = None
    pairs: Literal["mc_qa", "oe_qa"] | None = None
    system: Literal["distill", "cft"] | None = None
    balance_conclusions: bool = False


SFT_SETS = (
    SftSet("next_event", "video_fp_sft_data", "first", "{caption_part2}", pool="next_event"),
    SftSet(
        "distill",
        "video_fp_distill_data",
        "first",
        "<think>\n{reasoning}\n</think>\n<answer>\n{prediction}\n</answer>",
        pool="next_event",
        system="distill",
    ),
    SftSet(
        "critique",
        "video_fp_CFT_data",
        "first",
        "Critique:\n{critique}\n\nConclusion:\n{conclusion}.",
        question="Question:\n{question}\n\nSolution:\n{reasoning}\n\n{prediction}",
        pool="next_event",
        system="cft",
        balance_conclusions=True,
    ),
    # Video-CoE (arXiv 2603.14935): the reasoning was written with the future known, which is also the answer.
    SftSet(
        "hindsight",
        None,
        "first",
        "<think>\n{hindsight}\n</think>\n<answer>\n{caption_part2}\n</answer>",
        pool="next_event",
        system="distill",
    ),
    SftSet("full_caption", "full_video_caption_data", "full", "{caption}", pool="full_caption"),
    SftSet("full_mc_qa", "full_video_mc_qa_data", "full", "{answer}", pairs="mc_qa"),
    SftSet("full_oe_qa", "full_video_oe_qa_data", "full", "{answer}", pairs="oe_qa"),
    SftSet(
        "whole_video_next",
        "full_video_what_happens_next_data",
        "full",
        "{caption_part2}",
        pool="whole_video_next",
    ),
    SftSet("previous_event", "video_prev_sft_data", "second", "{caption_part1}", pool="previous_event"),
)


@dataclass(frozen=True)
class MixedSet:
    """A data set of equal parts: as many rows of each of the sets `parts` as the smallest of them has."""

    name: str
    parts: tuple[str, ...]


MIXED_SETS = (MixedSet("mix", ("next_event", "critique", "distill")),)


def rows_of_item(entry: SftSet, item: Item, prompts: Prompts, seed: int) -> list[SftRow]:
    """The rows that one record gives, in ShareGPT form. Raises LeftOut where it lacks what the set needs."""
    clip = item.clip(entry.view)
    return [
        SftRow(
            id=identity,
            video_id=item.record.id,
            source=item.record.source,
            view=entry.view,
            messages=_messages(entry, texts, prompts),
            videos=(clip,),
        )
        for identity, texts in _texts_of_rows(entry, item.record, prompts, seed)
    ]


def balance_conclusions(
    rows: list[SftRow], conclusions: dict[str, str], wrong_to_right: float, seed: int
) -> list[SftRow]:
    """Keep wrong : right = `wrong_to_right`, by record id → conclusion: all right ones and a sample of the wrong ones,
    or, with too few wrong ones, all of these and a sample of the right ones. The order stays."""
    right = [row for row in rows if conclusions[row.video_id] == "right"]
    wrong = [row for row in rows if conclusions[row.video_id] == "wrong"]
    wanted = round(wrong_to_right * len(right))
    if len(wrong) >= wanted:
        wrong = take_first_by_hash(wrong, wanted, seed)
    else:
        right = take_first_by_hash(right, int(len(wrong) / wrong_to_right), seed)
    kept = {row.id for row in (*right, *wrong)}
    return [row for row in rows if row.id in kept]


def mix(parts: Mapping[str, list[SftRow]], seed: int) -> list[SftRow]:
    """Equal numbers of rows of each part, by id; `component` names a row's part, by which draws are balanced."""
    # The part's name is in the id that is drawn by: each part takes its own videos.
    named = [[replace(row, id=f"{part}-{row.id}", component=part) for row in rows] for part, rows in parts.items()]
    size = min(map(len, named))
    kept = [row for rows in named for row in take_first_by_hash(rows, size, seed)]
    return sorted(kept, key=lambda row: row.id)


def _messages(entry: SftSet, texts: dict[str, str | None], prompts: Prompts) -> tuple[Message, ...]:
    messages = (
        Message(role="user", content=VIDEO_PLACEHOLDER + _fill(entry.question, texts)),
        Message(role="assistant", content=_fill(entry.target, texts)),
    )
    if entry.system is None:
        return messages
    return (Message(role="system", content=getattr(prompts.system, entry.system)), *messages)


def _texts_of_rows(
    entry: SftSet, record: Record, prompts: Prompts, seed: int
) -> Iterator[tuple[str, dict[str, str | None]]]:
    """(row id, texts that the templates name) of each row."""
    texts = record.model_dump(exclude={"events", "mc_qa", "oe_qa"})
    if entry.pairs is None:
        yield record.id, {**texts, "question": _draw_question(entry, record, prompts, seed)}
        return
    pairs = getattr(record, entry.pairs)
    if not pairs:
        raise LeftOut(f"no_{entry.pairs}")
    for number, pair in enumerate(pairs, start=1):
        yield f"{record.id}-{number}", {**texts, "question": pair.question, "answer": pair.answer}


def _draw_question(entry: SftSet, record: Record, prompts: Prompts, seed: int) -> str:
    wording = stable_choice(getattr(prompts.question_pools, entry.pool), seed, record.id, entry.name)
    return _fill(wording, {"event": _event_at_split(record)})


def _event_at_split(record: Record) -> str | None:
    """Description of the last scene of the first part, as a clause: without the full stop."""
    found = [event.description for event in record.events if event.scene == record.split_scene]
    return found[0].rstrip(".") if found else None


def _fill(template: str, texts: dict[str, str | None]) -> str:
    names = [name for _, name, _, _ in string.Formatter().parse(template) if name is not None]
    for name in names:
        if texts[name] is None:
            raise LeftOut(f"no_{name}")
    return template.format(**texts)
