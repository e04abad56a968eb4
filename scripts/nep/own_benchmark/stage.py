"""The stage that writes questions about annotated videos: one shard of them, and the merge of all shards."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

from tqdm import tqdm

from nep.annotate.frames import even_times, read_frames
from nep.annotate.rows import AnnotatedVideo
from nep.ask.asker import for_each, vision_and_text
from nep.ask.prompt_file import load_prompt
from nep.ask.request import UNANSWERED, Frame
from nep.ask.spending import Usage, sum_of_usage
from nep.config.own_benchmark import OwnBenchmark
from nep.errors import InputError
from nep.files import confined, sha256_of_json, write_json
from nep.jobs.ledger import Ledger
from nep.jobs.shards import check_complete, shard_name, shard_of
from nep.own_benchmark.choose import STAGE
from nep.own_benchmark.rows import OwnQuestion, QuestionRow
from nep.own_benchmark.steps import WRITING_KEYS, prompt_files
from nep.own_benchmark.write import Part, Writer
from nep.rows.base import Row, read_rows, write_rows
from nep.rows.quarantine import Quarantined, Rejection, count_reasons

# What decides the frames that are shown, beside the code.
PACKAGES = ("av", "numpy", "pillow")
_PROGRESS_SECONDS = 5


@dataclass(frozen=True)
class Shard:
    """One of `count` shards, numbered from 1, below the run's folder."""

    number: int
    count: int
    run_dir: Path


class OfVideo(Row):
    """What came of one video's questions."""

    rows: tuple[QuestionRow, ...]


def write_shard(
    events: Path, videos: Path, how: OwnBenchmark, seed: int, shard: Shard, out: Path, usage: Path, code: str
) -> None:
    """Write questions about the videos of one shard: to `out` a row of each, sorted by id, that of `OwnQuestion` or a
    quarantine row; to `usage` what each step took.

    `how` names both endpoints. Finished videos are taken over from an earlier start where logic (`code` is its
    fingerprint), prompts, configuration and annotation are the same. Raises EndpointDownError where an endpoint gives
    no answers, which loses none that was given.
    """
    prompts = {file.stem: load_prompt(file) for file in prompt_files(how)}
    settings = {key: value for key, value in how.result_settings().items() if key in WRITING_KEYS}
    packages = {name: version(name) for name in PACKAGES}
    made_by = {"code": code, "settings": settings, "seed": seed, "prompts": prompts, **packages}
    ledger = Ledger(shard.run_dir / "work" / STAGE / sha256_of_json(made_by)[:16], OfVideo, _was_answered)
    rows: list[QuestionRow] = []
    open_videos = []
    for video in read_rows(AnnotatedVideo, events):
        if shard_of(video.id, shard.count) == shard.number:
            kept = ledger.find(video.id, video.model_dump(mode="json"))
            rows += kept.rows if kept else []
            open_videos += [] if kept else [video]
    made, used = asyncio.run(_write_all(open_videos, videos, how, seed, prompts, shard, ledger))
    write_rows(out, sorted([*rows, *made], key=lambda row: row.id))
    write_json(usage, {step: asdict(count) for step, count in sorted(used.items())})


def merge_questions(shard_files: Sequence[Path], usage_files: Sequence[Path], out_dir: Path) -> None:
    """Write `questions.jsonl`, `rejected.jsonl` and `usage.json` of all shards below `out_dir`.

    Raises InputError with the counts by reason where no question is left.
    """
    check_complete(shard_files)
    rows = sorted((row for file in shard_files for row in read_rows(QuestionRow, file)), key=lambda row: row.id)
    rejected = [row for row in rows if isinstance(row, Quarantined)]
    questions = [row for row in rows if isinstance(row, OwnQuestion)]
    if not questions:
        listed = "".join(f"\n  {reason}: {count}" for reason, count in count_reasons(rejected).items())
        example = f"\n  for example {rejected[0].id}: {rejected[0].detail}" if rejected else ""
        raise InputError(
            f"{STAGE}: no question passed the gates{listed}{example}\n"
            "answers are kept: change the prompts, the model or questions.solved_from, and start again"
        )
    write_rows(out_dir / "rejected.jsonl", rejected)
    write_json(out_dir / "usage.json", sum_of_usage(usage_files))
    write_rows(out_dir / "questions.jsonl", questions)


async def _write_all(
    open_videos: Sequence[AnnotatedVideo],
    videos: Path,
    how: OwnBenchmark,
    seed: int,
    prompts: dict[str, str],
    shard: Shard,
    ledger: Ledger[OfVideo],
) -> tuple[list[QuestionRow], dict[str, Usage]]:
    """Rows of all questions, and what was used."""
    cache = shard.run_dir / "work" / "ask" / STAGE
    reading = asyncio.Semaphore(how.processes)
    async with AsyncExitStack() as stack:
        vision, text, at_once = await stack.enter_async_context(
            vision_and_text(how.vision, how.text, cache, shard.count, shard.number - 1)
        )
        label = f"{STAGE} {shard_name(shard.number, shard.count)}"
        progress = stack.enter_context(
            tqdm(desc=label, total=len(open_videos), file=sys.stderr, mininterval=_PROGRESS_SECONDS)
        )

        async def written(video: AnnotatedVideo) -> list[QuestionRow]:
            writer = Writer(
                text, vision, _reader(confined(videos, video.video_path), video, how, reading), prompts, how, seed
            )
            rows = [await _row(writer, video, kind) for kind in how.kinds]
            ledger.store(video.id, video.model_dump(mode="json"), OfVideo(rows=tuple(rows)))
            progress.update()
            return rows

        rows = await for_each(open_videos, written, at_once)
        return [row for each in rows for row in each], {**text.usage, **vision.usage}


async def _row(writer: Writer, video: AnnotatedVideo, kind: str) -> QuestionRow:
    try:
        return await writer.question(video, kind)
    except Rejection as rejection:
        identity = f"{video.id}-{kind}"
        return Quarantined(id=identity, stage=STAGE, reason=rejection.reason, detail=rejection.detail)


def _reader(
    path: Path, video: AnnotatedVideo, how: OwnBenchmark, reading: asyncio.Semaphore
) -> Callable[[Part], Awaitable[list[Frame]]]:
    """Reads the frames of a part, once for all questions about the video."""
    spans: dict[Part, tuple[float, float]] = {"first": (0, video.cut), "second": (video.cut, video.duration)}
    read: dict[Part, list[Frame]] = {}

    async def frames_of(part: Part) -> list[Frame]:
        if part not in read:
            async with reading:
                read[part] = await asyncio.to_thread(read_frames, path, even_times(*spans[part], how.frames), how.size)
        return read[part]

    return frames_of


def _was_answered(kept: OfVideo) -> bool:
    return not any(isinstance(row, Quarantined) and row.reason in UNANSWERED for row in kept.rows)
