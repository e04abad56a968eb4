"""The stage that annotates plain videos: one shard of them, and the merge of all shards."""

import asyncio
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from pathlib import Path

from tqdm import tqdm

from nep.annotate.frames import read_frames
from nep.annotate.interview import Interview
from nep.annotate.recipes import annotate_video
from nep.annotate.rows import AnnotatedVideo, AnnotateRow, published_row
from nep.annotate.steps import load_prompts
from nep.ask.asker import for_each, vision_and_text
from nep.ask.request import UNANSWERED
from nep.ask.spending import Usage, sum_of_usage
from nep.config.annotate import Annotate
from nep.errors import InputError
from nep.files import confined, sha256_of_json, write_json, write_json_rows
from nep.jobs.ledger import Ledger
from nep.jobs.shards import check_complete, shard_name, shard_of
from nep.rows.base import read_rows, write_rows
from nep.rows.quarantine import Quarantined, Rejection, count_reasons
from nep.shots.rows import VideoShots

STAGE = "annotate"
# What decides the frames that are shown, beside the code.
PACKAGES = ("av", "numpy", "pillow")
_NOT_DECIDING = {"shards", "prompts", "max_failed_fraction"}
_PROGRESS_SECONDS = 5


def annotate_shard(
    shots: Path,
    videos: Path,
    annotate: Annotate,
    shard: int,
    shards: int,
    run_dir: Path,
    out: Path,
    usage: Path,
    code: str,
) -> None:
    """Annotate the videos of one shard; write to `out`, sorted by id, a row of each, that of `AnnotatedVideo` or a
    quarantine row, and to `usage` what each step took: `{step: {"requests", "prompt_tokens", "money", …}}`.

    Finished videos are taken over from an earlier start where logic (`code` is its fingerprint), prompts, configuration
    and video are the same; else kept answers spare what has not changed. Raises EndpointDownError where the endpoint
    gives no answers, which loses none that was given.
    """
    prompts = load_prompts(annotate)
    settings = {key: value for key, value in annotate.result_settings().items() if key not in _NOT_DECIDING}
    packages = {name: version(name) for name in PACKAGES}
    fingerprint = sha256_of_json({"code": code, "annotate": settings, "prompts": prompts, **packages})[:16]
    ledger = Ledger(run_dir / "work" / STAGE / fingerprint, AnnotateRow, lambda row: not _is_unanswered(row))
    rows, open_videos = [], []
    for video in read_rows(VideoShots, shots):
        if shard_of(video.id, shards) != shard:
            continue
        if row := ledger.find(video.id, video.model_dump(mode="json")):
            rows.append(row)
        else:
            open_videos.append(video)
    cache, label = run_dir / "work/ask" / STAGE, f"{STAGE} {shard_name(shard, shards)}"
    made, used = asyncio.run(
        _annotate_all(open_videos, videos, annotate, prompts, cache, (shard - 1, shards), ledger, label)
    )
    write_rows(out, sorted([*rows, *made], key=lambda row: row.id))
    write_json(usage, {step: asdict(count) for step, count in used.items()})


async def _annotate_all(
    open_videos: Sequence[VideoShots],
    videos: Path,
    annotate: Annotate,
    prompts: dict[str, str],
    cache: Path,
    part: tuple[int, int],
    ledger: Ledger[AnnotateRow],
    label: str,
) -> tuple[list[AnnotateRow], dict[str, Usage]]:
    """Rows of all videos, and what was used. `part`: number of this shard from 0, and how many there are."""
    number, share = part
    reading = asyncio.Semaphore(annotate.processes)
    async with AsyncExitStack() as stack:
        vision, text, at_once = await stack.enter_async_context(
            vision_and_text(annotate.vision, annotate.text or annotate.vision, cache, share, number)
        )
        progress = stack.enter_context(
            tqdm(desc=label, total=len(open_videos), file=sys.stderr, mininterval=_PROGRESS_SECONDS)
        )

        async def annotated(video: VideoShots) -> AnnotateRow:
            read = partial(read_frames, confined(videos, video.video), size=annotate.size)
            row = await _row_of(Interview(video, annotate, prompts, (text, vision), read, reading))
            ledger.store(video.id, video.model_dump(mode="json"), row)
            progress.update()
            return row

        rows = await for_each(open_videos, annotated, at_once)
        return rows, {**text.usage, **vision.usage}


async def _row_of(asked: Interview) -> AnnotateRow:
    try:
        return await annotate_video(asked)
    except Rejection as rejection:
        return Quarantined(id=asked.video.id, stage=STAGE, reason=rejection.reason, detail=rejection.detail)


def _is_unanswered(row: AnnotateRow) -> bool:
    return isinstance(row, Quarantined) and row.reason in UNANSWERED


def merge_annotations(
    shard_files: Sequence[Path], usage_files: Sequence[Path], max_failed_fraction: float, out_dir: Path
) -> None:
    """Write `events.jsonl`, `next_event_prediction.json` in the published form, `rejected.jsonl` and `usage.json` of
    all shards below `out_dir`.

    Raises InputError with the counts by reason where no video passed, or a larger share than `max_failed_fraction` got
    no answer that can be used.
    """
    check_complete(shard_files)
    rows = sorted((row for file in shard_files for row in read_rows(AnnotateRow, file)), key=lambda row: row.id)
    left_out = [row for row in rows if isinstance(row, Quarantined)]
    annotated = [row for row in rows if isinstance(row, AnnotatedVideo)]
    failed = sum(map(_is_unanswered, rows))
    if not annotated or failed > max_failed_fraction * len(rows):
        raise InputError(_too_few(len(annotated), failed, rows, left_out, max_failed_fraction))
    write_rows(out_dir / "events.jsonl", annotated)
    write_rows(out_dir / "rejected.jsonl", left_out)
    write_json(out_dir / "usage.json", sum_of_usage(usage_files))
    # Last: what reads it finds the rest.
    write_json_rows(out_dir / "next_event_prediction.json", map(published_row, annotated))


def _too_few(
    annotated: int, failed: int, rows: Sequence[AnnotateRow], left_out: Sequence[Quarantined], allowed: float
) -> str:
    listed = "\n".join(f"  {reason}: {count}" for reason, count in count_reasons(left_out).items())
    example = next(filter(_is_unanswered, left_out), left_out[0])
    return (
        f"{STAGE}: {annotated} of {len(rows)} videos are annotated, {failed} got no answer that can be used "
        f"(annotate.max_failed_fraction allows {allowed:g} of them):\n{listed}\n"
        f"  for example {example.id}: {example.reason} ({example.detail})\n"
        "answers are kept: change the prompts or the model, and start again"
    )
