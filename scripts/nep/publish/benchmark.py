"""The questions of a run's evaluation as a repository: what is shown is in it, and nothing of what comes after."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from nep.errors import InputError
from nep.export.hf import SCHEMAS, size_category, to_table
from nep.files import write_json, write_text
from nep.publish.bundle import BRANCH, Bundle, Target
from nep.publish.card import use_section, write_card
from nep.publish.dataset import ANNOTATIONS, CARD, QUESTIONS, STALE, USE, check_convert, videos_config
from nep.publish.licence import Licence
from nep.publish.source_videos import cut_path, first_parts, records
from nep.publish.video_shards import PATTERN, write_shards
from nep.rows.base import read_rows
from nep.rows.question import AskedQuestion

NAME = "futurebench"
TABLE = f"data/{NAME}/test.parquet"


def has_questions(run: Path) -> bool:
    """Whether the run has questions to evaluate on."""
    file = run / "convert" / f"{NAME}.jsonl"
    return file.is_file() and file.stat().st_size > 0


def benchmark_bundle(run: Path, target: Target, licence: Licence, with_videos: bool, staging: Path) -> Bundle:
    """The questions of FutureBench's form, with first parts where asked; written below `staging`.

    Raises InputError where there are no questions, or a file is not that of its manifest.
    """
    if not has_questions(run):
        raise InputError(f"{run / 'convert' / NAME}.jsonl: no questions; the run has no benchmark to publish")
    check_convert(run)
    known = records(run)
    rows = read_rows(AskedQuestion, run / "convert" / f"{NAME}.jsonl")
    paths = {row.video_id: cut_path(known[row.video_id]) for row in rows}
    if len(set(paths.values())) < len(paths):
        raise InputError(f"{run}: two videos of questions differ in their suffix alone; rename one")
    (staging / TABLE).parent.mkdir(parents=True, exist_ok=True)
    values = [{**row.to_json(), "video": paths[row.video_id]} for row in rows]
    pq.write_table(to_table(values, SCHEMAS[NAME], f"{NAME}.jsonl"), staging / TABLE)
    write_json(staging / QUESTIONS, [published_question(row, paths[row.video_id]) for row in rows])
    # A source has a file of annotations; the questions' videos are cut already and need none.
    write_json(staging / ANNOTATIONS, [])
    names = (TABLE, QUESTIONS, ANNOTATIONS, CARD)
    files = {name: staging / name for name in names}
    if with_videos:
        files |= write_shards(first_parts(run, set(paths)), staging)
    block = ("source", {"archives": [PATTERN]}) if with_videos else None
    bundle = Bundle("benchmark", target, files, STALE, block)
    write_text(staging / CARD, benchmark_card(rows, bundle, licence))
    return bundle


def published_question(row: AskedQuestion, video_path: str) -> dict[str, Any]:
    """A question as an object of `futurebench.json`."""
    asked = {"Question": row.question, "Options": row.options, "Answer": row.answer}
    return {"id": row.id, "video_path": video_path, "question_type": row.kind, "qa": asked}


def benchmark_card(rows: list[AskedQuestion], bundle: Bundle, licence: Licence) -> str:
    """README.md: how many questions of which kind, what is shown, how a model is evaluated on them."""
    with_videos = bundle.block is not None
    configs = [{"config_name": NAME, "data_files": [{"split": "test", "path": TABLE}]}]
    header = {
        **licence.header,
        "pretty_name": "Next-event prediction: questions",
        "task_categories": ["video-text-to-text", "multiple-choice"],
        "size_categories": [size_category(len(rows))],
        "tags": ["next-event-prediction", "video", "benchmark"],
        "configs": [*configs, *([videos_config()] if with_videos else [])],
    }
    kinds = sorted({row.kind for row in rows})
    lines = [
        "# Next-event prediction: questions",
        "",
        f"{len(rows):,} multiple-choice questions about {len({row.video_id for row in rows}):,} videos: a model sees a "
        "video up to a moment and says what",
        "happens after it. Chance is 25 %.",
        "",
        "The configuration `videos` holds what is shown, the first part of each video, by the path that a question "
        "names as `video`."
        if with_videos
        else "The videos are not in this repository; `video` names the first part of each.",
        "",
        "| kind | questions |",
        "|---|---|",
        *(f"| {kind} | {sum(row.kind == kind for row in rows):,} |" for kind in kinds),
        "",
    ]
    use = use_section(USE, bundle.configuration(BRANCH)) if with_videos else ""
    return write_card(header, "\n".join(lines) + use)
