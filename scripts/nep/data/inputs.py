"""What every data set is made from: records with their segments, each in the training or the validation part."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from nep.data.draw import stable_unit
from nep.dedup.signature import NearDuplicate
from nep.errors import InputError
from nep.rows.cut import Cut, LostVideo
from nep.rows.dataset import DatasetRow, Part, View
from nep.rows.question import Question, SeedQuestion
from nep.rows.record import Record

VIDEOS_FOLDER = "download/videos"
WITHOUT_SEGMENTS = "not_split"
HELD_OUT = "held_out_for_evaluation"
NEAR_DUPLICATE = "near_duplicate_of_evaluation"
PAIRS_SHOWN = 10


class LeftOut(Exception):  # noqa: N818 - a count in the manifest, not an error of the run
    """A record has not what a data set needs; the reason is counted."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Item:
    """A record that was split: its clips by view (paths relative to the run's folder), and the part that it is in."""

    record: Record
    part: Part
    clips: dict[View, str]

    def clip(self, view: View) -> str:
        """Path of the clip. Raises LeftOut where the record has none (a video that was published already cut)."""
        if view not in self.clips:
            raise LeftOut(f"no_{view}_video")
        return self.clips[view]


@dataclass
class Inputs:
    """`training`: records for training and validation, sorted by id; `split`: every record that was split."""

    training: list[Item] = field(default_factory=list)
    split: dict[str, Item] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)


def select_inputs(
    records: list[Record],
    questions: list[Question],
    split_rows: list[Cut | LostVideo],
    validation_fraction: float,
    hold_out_evaluation_videos: bool,
    seedbench: Sequence[SeedQuestion] = (),
) -> Inputs:
    """Join records with the split manifest and keep the evaluation videos out of training where that is asked for.

    Raises InputError for a record without a row in the split manifest.
    """
    by_id = {row.id: row for row in split_rows}
    held_out = evaluation_videos(records, questions, seedbench) if hold_out_evaluation_videos else set()
    inputs = Inputs()
    for record in sorted(records, key=lambda record: record.id):
        if record.id not in by_id:
            raise InputError(f"record {record.id}: no row in the split manifest; split these records first")
        cut = by_id[record.id]
        if isinstance(cut, LostVideo):
            inputs.left_out[WITHOUT_SEGMENTS] += 1
            continue
        item = Item(record, part_of(record.id, validation_fraction), _clips(record, cut))
        inputs.split[record.id] = item
        if record.whole_video in held_out:
            inputs.left_out[HELD_OUT] += 1
        else:
            inputs.training.append(item)
    return inputs


def evaluation_videos(
    records: list[Record], questions: list[Question], seedbench: Sequence[SeedQuestion] = ()
) -> set[str]:
    """Whole videos that an evaluation question is about: a video's own record counts as well as its cut one's."""
    asked = {question.video_id for question in questions}
    named = {name for question in seedbench for name in question.whole_videos}
    return {record.whole_video for record in records if record.id in asked} | named


def hold_out_near_duplicates(
    inputs: Inputs, pairs: Iterable[NearDuplicate], action: Literal["stop", "hold_out"]
) -> None:
    """Take the videos that look like an evaluation video out of `inputs.training`.

    With `stop`, raises InputError that names the pairs where there are any.
    """
    pairs = list(pairs)
    if pairs and action == "stop":
        raise InputError(_near_duplicates_found(pairs, {item.record.id: item.record.video for item in inputs.training}))
    copies = {pair.training for pair in pairs}
    inputs.left_out[NEAR_DUPLICATE] += len(copies)
    inputs.training = [item for item in inputs.training if item.record.id not in copies]


def part_of(record_id: str, validation_fraction: float) -> Part:
    """By a hash of the id alone, so that runs with other seeds validate on the same videos."""
    return "validation" if stable_unit("part", record_id) < validation_fraction else "train"


def check_no_leak(
    name: str,
    rows: Sequence[DatasetRow],
    whole_videos: Mapping[str, str],
    held_out: set[str],
) -> None:
    """Raises InputError that names the file `name` and a video which one of its training rows and an evaluation
    question share. `whole_videos`: of each record, by id; `held_out`: see `evaluation_videos`."""
    for row in rows:
        if whole_videos[row.video_id] in held_out:
            raise InputError(f"{name}: row {row.id}: video {row.video_id} belongs to an evaluation question")


def _near_duplicates_found(pairs: list[NearDuplicate], videos: dict[str, str]) -> str:
    shown = "\n".join(
        f"  {pair.training} ({videos[pair.training]}) looks like evaluation video {pair.evaluation}: "
        f"distance {pair.distance:g}"
        for pair in sorted(pairs, key=lambda pair: pair.distance)[:PAIRS_SHOWN]
    )
    return (
        f"{len(pairs)} pairs of a training video and an evaluation video look the same:\n{shown}\n"
        "remove these training videos, or set convert.near_duplicates: hold_out, which keeps them out of training; "
        "where they are different videos, lower convert.near_duplicate_distance"
    )


def _clips(record: Record, cut: Cut) -> dict[View, str]:
    clips: dict[View, str] = {"first": cut.first.path}
    if cut.second is not None:
        clips["second"] = cut.second.path
    if not record.already_cut:
        clips["full"] = f"{VIDEOS_FOLDER}/{record.video}"
    return clips
