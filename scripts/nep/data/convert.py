"""Records, questions and the split manifest → every data set of a run, and a manifest of them."""

import itertools
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from nep.config.convert import Convert
from nep.data.inputs import (
    VIDEOS_FOLDER,
    Inputs,
    Item,
    LeftOut,
    check_no_leak,
    evaluation_videos,
    hold_out_near_duplicates,
    select_inputs,
)
from nep.data.leakage import Choice, choice, option_bias, text_only, warn_option_bias
from nep.data.multiple_choice import MultipleChoice
from nep.data.own_questions import FULL_MC_QA, own_questions
from nep.data.prompts import Prompts, Variant, load_prompts
from nep.data.questions import (
    NEXT_CAPTION_MC,
    NEXT_EVENT_MC,
    answered_sets,
    collect_continuations,
    draw_caption_question,
    draw_question,
    drawn,
    kind_of,
)
from nep.data.sft_sets import MIXED_SETS, SFT_SETS, MixedSet, SftSet, balance_conclusions, mix, rows_of_item
from nep.data.written_questions import WRITTEN_MC, written_questions
from nep.dedup.signature import NearDuplicate, from_json, near_duplicates
from nep.errors import InputError
from nep.files import read_list, sha256_of_file, write_json, write_json_rows
from nep.layout.datasets import dataset_file, validation_file
from nep.rows.base import read_rows, write_rows
from nep.rows.cut import read_split
from nep.rows.dataset import GrpoRow, Part, SftRow
from nep.rows.question import AskedQuestion, Question, SeedQuestion, VideoFacts
from nep.rows.record import Record
from nep.rows.signature import SignedVideo

FUTUREBENCH = "futurebench.jsonl"
SEEDBENCH = "seedbench_r1.jsonl"


@dataclass
class RowFile:
    """One file of rows, and how many records (questions, for evaluation) it lacks for which reason.

    `choices`: its multiple-choice questions, to be checked for what they give away. `written`: number of rows that have
    been written, and are no longer held.
    """

    path: str
    rows: list[SftRow] | list[GrpoRow] | list[AskedQuestion] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    published_as: str | None = None
    choices: list[Choice] = field(default_factory=list)
    written: int = 0

    def collect(self, make: Callable[[], list[SftRow] | list[AskedQuestion]]) -> None:
        """Add the rows that `make` gives, or count why it gives none."""
        try:
            self.rows.extend(make())
        except LeftOut as left_out:
            self.left_out[left_out.reason] += 1


def convert_run(
    records: Path,
    questions: Path,
    split_manifest: Path,
    config: Convert,
    seed: int,
    out_dir: Path,
    seedbench: Path | None = None,
    signatures: Path | None = None,
    written: Path | None = None,
) -> None:
    """Read the stages before, write every data set below `out_dir`, `manifest.json` last.

    `written`: training questions in the published form, which make a set of their own.

    Raises InputError for rows that do not fit together, and where a training video is, or looks like, an evaluation
    video; looks are compared where there are `signatures`.
    """
    prompts = load_prompts(Path(config.prompts))
    record_rows = read_rows(Record, records)
    question_rows = read_rows(Question, questions)
    seed_rows = read_rows(SeedQuestion, seedbench) if seedbench else []
    split_rows = read_split(split_manifest)
    held_out = config.hold_out_evaluation_videos
    inputs = select_inputs(record_rows, question_rows, split_rows, config.validation_fraction, held_out, seed_rows)
    if held_out and signatures:
        evaluated = {question.video_id for question in (*question_rows, *seed_rows)}
        pairs = find_near_duplicates(signatures, inputs.training, evaluated, config.near_duplicate_distance)
        hold_out_near_duplicates(inputs, pairs, config.near_duplicates)
    leak_check = partial(
        check_no_leak,
        whole_videos={record.id: record.whole_video for record in record_rows},
        held_out=evaluation_videos(record_rows, question_rows, seed_rows),
    )
    write = partial(_write, out_dir=out_dir, leak_check=leak_check if held_out else None)
    sft = [file for entry in SFT_SETS for file in sft_files(entry, inputs.training, prompts, config, seed)]
    sft += [file for entry in MIXED_SETS for file in mixed_files(entry, sft, seed)]
    write(sft)
    continuations = collect_continuations(inputs.training, config.hops, prompts.sequence_joiner, seed)
    asked, left_out = drawn(
        partial(draw_question, item, hops, prompts, config.distractors, continuations, seed)
        for item, hops in itertools.product(inputs.training, sorted(set(config.hops)))
    )
    for name, (variant, hops) in answered_sets(config.hops).items():
        answered = answered_files(name, variant, [item for item in asked if item.kind == kind_of(hops)], prompts)
        write(answered)
        sft += answered
    captions = (partial(draw_caption_question, item, prompts, continuations, seed) for item in inputs.training)
    to_file = partial(grpo_file, prompts=prompts, event_chains=config.event_chains)
    grpo = [
        to_file(NEXT_EVENT_MC, asked, left_out),
        to_file(NEXT_CAPTION_MC, *drawn(captions)),
        to_file(FULL_MC_QA, *own_questions(inputs.training)),
    ]
    if written:
        grpo.append(to_file(WRITTEN_MC, *written_questions(read_list(written), inputs.training)))
    write(grpo)
    evaluation = [futurebench_file(question_rows, inputs), seedbench_file(seed_rows)]
    _write(evaluation, out_dir, leak_check=None)
    write_json(out_dir / "manifest.json", _manifest(out_dir, [*sft, *grpo, *evaluation], inputs, seed))


def find_near_duplicates(
    signatures: Path, training: list[Item], evaluated: set[str], max_distance: float
) -> list[NearDuplicate]:
    """Pairs of a training video and an evaluation video that look the same; ids in `evaluated` are the latter."""
    known = {row.id: from_json(row.signature) for row in read_rows(SignedVideo, signatures) if row.signature}
    trained = [item.record.id for item in training if item.record.id in known]
    theirs = {identity: known[identity] for identity in sorted(evaluated & known.keys())}
    return near_duplicates({identity: known[identity] for identity in trained}, theirs, max_distance)


def sft_files(entry: SftSet, items: list[Item], prompts: Prompts, config: Convert, seed: int) -> list[RowFile]:
    """The training file of a data set, and its validation file."""
    files: dict[Part, RowFile] = {
        "train": RowFile(dataset_file("sft", entry.name), published_as=entry.published_as),
        "validation": RowFile(validation_file(entry.name)),
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


def mixed_files(entry: MixedSet, files: list[RowFile], seed: int) -> list[RowFile]:
    """The training file and the validation file of a mixed set, from those of its parts among `files`."""
    by_path = {file.path: file for file in files}
    made = []
    for file_of in (partial(dataset_file, "sft"), validation_file):
        parts = {name: by_path[file_of(name)].rows for name in entry.parts}
        rows = mix(parts, seed)
        surplus = sum(map(len, parts.values())) - len(rows)
        made.append(RowFile(file_of(entry.name), rows, Counter(surplus_in_part=surplus)))
    return made


def grpo_file(
    name: str, asked: list[MultipleChoice], left_out: Counter[str], prompts: Prompts, event_chains: bool
) -> RowFile:
    """Questions to be answered with reasoning: both parts, which a row's `part` tells apart."""
    choices = [choice(item.id, item.item.record.id, item.text, item.options, item.letter) for item in asked]
    rows = [item.grpo_row(prompts, event_chains) for item in asked]
    return RowFile(dataset_file("grpo", name), rows, left_out, choices=choices)


def answered_files(name: str, variant: Variant, asked: list[MultipleChoice], prompts: Prompts) -> list[RowFile]:
    """Questions with their answers: the training file and the validation file of the set `name`."""
    files: dict[Part, RowFile] = {
        "train": RowFile(dataset_file("sft", name)),
        "validation": RowFile(validation_file(name)),
    }
    for question in asked:
        files[question.item.part].rows.append(question.sft_row(prompts, variant))
    return list(files.values())


def futurebench_file(questions: list[Question], inputs: Inputs) -> RowFile:
    """The evaluation set: each question with the first part of its video, and what the record says about the rest."""
    file = RowFile(FUTUREBENCH)
    for question in sorted(questions, key=lambda question: question.id):
        file.collect(lambda question=question: [_futurebench_row(question, inputs)])
    file.choices = [_choice_of(row) for row in file.rows]
    return file


def seedbench_file(questions: list[SeedQuestion]) -> RowFile:
    """SeedBench-R1's questions, each with its image and, where there is one, its video."""
    rows = [_seedbench_row(question) for question in sorted(questions, key=lambda question: question.id)]
    return RowFile(SEEDBENCH, rows, choices=[_choice_of(row) for row in rows])


def _seedbench_row(question: SeedQuestion) -> AskedQuestion:
    return AskedQuestion(
        **question.model_dump(include={"id", "video_id", "question", "options", "answer"}),
        kind=question.level,
        options_inline=False,
        video=question.video and f"{VIDEOS_FOLDER}/{question.video}",
        image=f"{VIDEOS_FOLDER}/{question.image}",
        record=VideoFacts(source=question.source),
    )


def _choice_of(row: AskedQuestion) -> Choice:
    return choice(row.id, row.video_id, row.question, row.options, row.answer)


def _futurebench_row(question: Question, inputs: Inputs) -> AskedQuestion:
    item = inputs.split.get(question.video_id)
    if item is None:
        raise LeftOut("not_split")
    facts = VideoFacts(**item.record.model_dump(include=set(VideoFacts.model_fields)))
    return AskedQuestion(**question.model_dump(), video=item.clip("first"), record=facts)


def _write(files: list[RowFile], out_dir: Path, leak_check: Callable[..., None] | None) -> None:
    """Check and write the files, and let go of their rows: those of 33,000 records take a gigabyte."""
    for file in files:
        _check_unique_ids(file)
        if leak_check:
            leak_check(file.path, file.rows)
        if file.path.endswith(".json"):
            write_json_rows(out_dir / file.path, (row.to_json() for row in file.rows))
        else:
            write_rows(out_dir / file.path, file.rows)
        file.written, file.rows = len(file.rows), []


def _check_unique_ids(file: RowFile) -> None:
    repeated = [identity for identity, count in Counter(row.id for row in file.rows).items() if count > 1]
    if repeated:
        raise InputError(f"{file.path}: id {repeated[0]} occurs more than once; ids must be unique")


def _manifest(out_dir: Path, files: list[RowFile], inputs: Inputs, seed: int) -> dict[str, Any]:
    parts = Counter(item.part for item in inputs.training)
    return {
        "records": {
            "split": len(inputs.split),
            "left_out": {reason: count for reason, count in inputs.left_out.items() if count},
            "train": parts["train"],
            "validation": parts["validation"],
        },
        "files": {file.path: _described(out_dir, file, seed) for file in files},
    }


def _described(out_dir: Path, file: RowFile, seed: int) -> dict[str, Any]:
    described = {
        "rows": file.written,
        "sha256": sha256_of_file(out_dir / file.path),
        "left_out": {reason: count for reason, count in file.left_out.items() if count},
    }
    if file.published_as:
        described["published_as"] = file.published_as
    if file.choices:
        described["option_bias"] = option_bias(file.choices)
        described["text_only"] = text_only(file.choices, seed)
        warn_option_bias(file.path, described["option_bias"])
    return described
