"""Records, questions and the split manifest → every data set of a run, and a manifest of them."""

import itertools
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nep.config import Convert
from nep.data.inputs import Inputs, Item, LeftOut, Part, check_no_leak, select_inputs
from nep.data.prompts import Prompts, Variant, load_prompts
from nep.data.questions import NEXT_EVENT_MC, NextEventQuestion, answered_sets, collect_continuations, draw_question
from nep.data.sft_sets import SFT_SETS, SftSet, balance_conclusions, rows_of_item
from nep.errors import InputError
from nep.files import read_jsonl, sha256_of_file, write_json, write_jsonl
from nep.records.schema import Question, Record, rows_as

FUTUREBENCH = "futurebench.jsonl"


@dataclass
class RowFile:
    """One file of rows, and how many records (questions, for evaluation) it lacks for which reason."""

    path: str
    rows: list[dict[str, Any]] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    published_as: str | None = None

    def collect(self, make: Callable[[], list[dict[str, Any]]]) -> None:
        """Add the rows that `make` gives, or count why it gives none."""
        try:
            self.rows.extend(make())
        except LeftOut as left_out:
            self.left_out[left_out.reason] += 1


def convert_run(
    records: Path, questions: Path, split_manifest: Path, config: Convert, seed: int, out_dir: Path
) -> None:
    """Read the stages before, write every data set below `out_dir`, `manifest.json` last.

    Raises InputError for rows that do not fit together, and where a training row shows an evaluation video.
    """
    prompts = load_prompts(Path(config.prompts))
    record_rows = rows_as(Record, read_jsonl(records), str(records))
    question_rows = rows_as(Question, read_jsonl(questions), str(questions))
    split_rows = read_jsonl(split_manifest)
    inputs = select_inputs(
        record_rows, question_rows, split_rows, config.validation_fraction, config.hold_out_evaluation_videos
    )
    sft = [file for entry in SFT_SETS for file in sft_files(entry, inputs.training, prompts, config, seed)]
    asked, left_out = next_event_questions(inputs.training, prompts, config, seed)
    for name, (variant, hops) in answered_sets(config.hops).items():
        sft += answered_files(name, variant, [question for question in asked if question.hops == hops], prompts)
    grpo = [RowFile(f"grpo/{NEXT_EVENT_MC}.jsonl", [question.grpo_row(prompts) for question in asked], left_out)]
    if config.hold_out_evaluation_videos:
        check_no_leak({file.path: file.rows for file in (*sft, *grpo)}, record_rows, question_rows)
    _write_files(out_dir, sft, [*grpo, futurebench_file(question_rows, inputs)], inputs)


def sft_files(entry: SftSet, items: list[Item], prompts: Prompts, config: Convert, seed: int) -> list[RowFile]:
    """The training file of a data set, and its validation file."""
    files: dict[Part, RowFile] = {
        "train": RowFile(f"sft/{entry.name}.json", published_as=entry.published_as),
        "validation": RowFile(f"sft/{entry.name}.validation.json"),
    }
    for item in items:
        files[item.part].collect(lambda item=item: rows_of_item(entry, item, prompts, seed))
    if entry.balance_conclusions:
        conclusions = {item.record.id: item.record.conclusion for item in items}
        for file in files.values():
            kept = balance_conclusions(file.rows, conclusions, config.cft_wrong_to_right, seed)
            file.left_out["surplus_conclusion"] += len(file.rows) - len(kept)
            file.rows = kept
    return list(files.values())


def next_event_questions(
    items: list[Item], prompts: Prompts, config: Convert, seed: int
) -> tuple[list[NextEventQuestion], Counter[str]]:
    """The multiple-choice questions of all videos and numbers of hops, and how many there are not, by reason."""
    hops = sorted(set(config.hops))
    continuations = collect_continuations(items, hops, prompts.sequence_joiner, seed)
    asked, left_out = [], Counter()
    for item, count in itertools.product(items, hops):
        try:
            asked.append(draw_question(item, count, prompts, config.distractors, continuations, seed))
        except LeftOut as reason:
            left_out[reason.reason] += 1
    return asked, left_out


def answered_files(name: str, variant: Variant, asked: list[NextEventQuestion], prompts: Prompts) -> list[RowFile]:
    """Questions with their answers: the training file and the validation file of the set `name`."""
    files: dict[Part, RowFile] = {
        "train": RowFile(f"sft/{name}.json"),
        "validation": RowFile(f"sft/{name}.validation.json"),
    }
    for question in asked:
        files[question.item.part].rows.append(question.sft_row(prompts, variant))
    return list(files.values())


def futurebench_file(questions: list[Question], inputs: Inputs) -> RowFile:
    """The evaluation set: each question with the first part of its video, and what the record says about the rest."""
    file = RowFile(FUTUREBENCH)
    for question in sorted(questions, key=lambda question: question.id):
        file.collect(lambda question=question: [_futurebench_row(question, inputs)])
    return file


def _futurebench_row(question: Question, inputs: Inputs) -> dict[str, Any]:
    item = inputs.split.get(question.video_id)
    if item is None:
        raise LeftOut("not_split")
    shown = ("source", "split_time", "caption", "caption_part1", "caption_part2", "events")
    record = item.record.model_dump(mode="json", include=set(shown))
    return {**question.model_dump(mode="json"), "video": item.clip("first"), "record": record}


def _write_files(out_dir: Path, sft: list[RowFile], jsonl: list[RowFile], inputs: Inputs) -> None:
    _check_unique_ids([*sft, *jsonl])
    for file in sft:
        write_json(out_dir / file.path, file.rows)
    for file in jsonl:
        write_jsonl(out_dir / file.path, file.rows)
    write_json(out_dir / "manifest.json", _manifest(out_dir, [*sft, *jsonl], inputs))


def _check_unique_ids(files: list[RowFile]) -> None:
    for file in files:
        repeated = [identity for identity, count in Counter(row["id"] for row in file.rows).items() if count > 1]
        if repeated:
            raise InputError(f"{file.path}: id {repeated[0]} occurs more than once; ids must be unique")


def _manifest(out_dir: Path, files: list[RowFile], inputs: Inputs) -> dict[str, Any]:
    parts = Counter(item.part for item in inputs.training)
    return {
        "records": {
            "split": len(inputs.split),
            "left_out": dict(inputs.left_out),
            "train": parts["train"],
            "validation": parts["validation"],
        },
        "files": {
            file.path: {
                "rows": len(file.rows),
                "sha256": sha256_of_file(out_dir / file.path),
                "left_out": {reason: count for reason, count in file.left_out.items() if count},
                **({"published_as": file.published_as} if file.published_as else {}),
            }
            for file in files
        },
    }
