"""The split stage: one shard of the records, and the merge of all shards into one manifest."""

import shutil
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from nep.config.split import Split
from nep.errors import InputError
from nep.files import confined, is_intact, sha256_of_file, sha256_of_json
from nep.jobs.ledger import Ledger
from nep.jobs.shards import check_complete, shard_name, shard_of
from nep.jobs.store import Shelf
from nep.jobs.workers import Failure, run_items
from nep.layout.segments import segment_path
from nep.rows.base import read_rows, write_rows
from nep.rows.cut import Cut, LostVideo, SplitRow, lost_videos, read_split
from nep.rows.quarantine import Quarantined, Reason, count_reasons
from nep.rows.record import Record
from nep.split.recipe import PRESETS, Recipe
from nep.split.task import STAGE, SplitTask, decided_by, lost, split_video

# A worker ends its own ffmpeg at the limit; only what hangs outside ffmpeg is killed, this much later.
_GRACE_S = 15
_REASONS = {"timeout": Reason.SPLIT_TIMEOUT, "crash": Reason.SPLIT_CRASH, "error": Reason.SPLIT_CRASH}
# A hang or a crash may come from the machine, not from the video: the next run tries again.
_TRANSIENT = frozenset({Reason.SPLIT_TIMEOUT, Reason.SPLIT_CRASH})
_ABOUT_QUESTIONS = frozenset(
    {Reason.BAD_QUESTION, Reason.DUPLICATE_QUESTION, Reason.NO_RIGHT_ANSWER, Reason.QUESTION_WITHOUT_RECORD}
)


def split_shard(
    records: Path, videos: Path, split: Split, shard: int, shards: int, run_dir: Path, out: Path, code: str
) -> None:
    """Split the records of one shard and write their manifest rows, sorted by id, to `out`.

    `code` is the fingerprint of the stage's logic: finished videos are taken over from an earlier run, or from the
    store, only where the logic, the encoder, the recipe, the record's split and the source's bytes are the same.
    """
    name = shard_name(shard, shards)
    if split.preset not in PRESETS:
        raise InputError(f"split.preset: {split.preset!r} is no preset of x264; it has {', '.join(PRESETS)}")
    recipe = Recipe(crf=split.crf, preset=split.preset, audio=split.audio, incomplete=split.incomplete)
    fingerprint = _fingerprint(recipe, code)
    work = run_dir / "work" / STAGE / fingerprint
    ledger = Ledger(work, SplitRow, partial(_still_holds, run_dir))
    shelf = Shelf(STAGE, run=run_dir, root=run_dir)
    rows: list[Cut | LostVideo] = []
    tasks: list[SplitTask] = []
    inputs: dict[str, dict[str, Any]] = {}
    for record in _records_of(records, shard, shards):
        task = _task(record, videos, split, recipe, run_dir, work)
        if isinstance(task, LostVideo):
            rows.append(task)
            continue
        inputs[task.identity] = _input_of(task)
        given = inputs[task.identity]
        if row := ledger.find(task.identity, given):
            rows.append(row)
        elif stored := shelf.fetch({"id": task.identity, "recipe": fingerprint, **given}):
            row = Cut.model_validate(stored)
            ledger.store(task.identity, given, row)
            rows.append(row)
        else:
            tasks.append(task)
    outcomes = run_items(
        split_video,
        tasks,
        processes=split.processes,
        timeout_s=split.timeout_s + _GRACE_S,
        label=f"split {name}",
        preload=[__name__],
    )
    for task, outcome in outcomes:
        row = _after_failure(task, outcome) if isinstance(outcome, Failure) else outcome
        given = inputs[task.identity]
        ledger.store(task.identity, given, row)
        rows.append(row)
        if isinstance(row, Cut):
            key = {"id": task.identity, "recipe": fingerprint, **given}
            shelf.publish(key, beside=[run_dir / part.path for part in row.segments], value=row.to_json())
    _drop_segments(lost_videos(rows), run_dir)
    write_rows(out, sorted(rows, key=lambda row: row.id))


def merge_split(shard_files: Sequence[Path], rejected: Path | None, split: Split, out: Path) -> None:
    """Write all shards' rows, sorted by id, to `out`.

    Raises InputError with the counts by reason if more than `max_quarantine_fraction` of the videos are quarantined.
    Records in `rejected`, which never reached this stage, count as quarantined videos; questions in it do not count.
    """
    check_complete(shard_files)
    rows = sorted((row for file in shard_files for row in read_split(file)), key=lambda row: row.id)
    doubles = [identity for identity, count in Counter(row.id for row in rows).items() if count > 1]
    if doubles:
        raise InputError(f"{len(doubles)} ids stand in more than one row of the shards, the first is {doubles[0]!r}")
    before = read_rows(Quarantined, rejected) if rejected else []
    set_aside = [*(row for row in before if row.reason not in _ABOUT_QUESTIONS), *lost_videos(rows)]
    total = sum(isinstance(row, Cut) for row in rows) + len(set_aside)
    if len(set_aside) > split.max_quarantine_fraction * total:
        raise InputError(_too_many(set_aside, total, split.max_quarantine_fraction))
    write_rows(out, rows)


def _too_many(set_aside: list[Quarantined], total: int, allowed: float) -> str:
    listed = "\n".join(f"  {reason}: {count}" for reason, count in count_reasons(set_aside).items())
    example = set_aside[0]
    return (
        f"{len(set_aside)} of {total} videos are quarantined, split.max_quarantine_fraction allows {allowed:g} of "
        f"them:\n{listed}\n  for example {example.id}: {example.reason} ({example.detail})"
    )


def _records_of(records: Path, shard: int, shards: int) -> list[Record]:
    return [record for record in read_rows(Record, records) if shard_of(record.id, shards) == shard]


def _task(
    record: Record, videos: Path, split: Split, recipe: Recipe, run_dir: Path, work: Path
) -> SplitTask | LostVideo:
    confined(work, record.id)
    try:
        source = confined(videos, record.video)
    except InputError as error:
        return lost(record.id, Reason.MISSING_VIDEO, str(error))
    if not source.is_file():
        return lost(record.id, Reason.MISSING_VIDEO, f"no file {record.video!r} below the video root")
    return SplitTask(
        identity=record.id,
        source=source,
        split_time=record.split_time,
        already_cut=record.already_cut,
        run_dir=run_dir.resolve(),
        scratch=(work / f"{record.id}.tmp").resolve(),
        recipe=recipe,
        limit_s=split.timeout_s,
    )


def _input_of(task: SplitTask) -> dict[str, Any]:
    return {
        "source_sha256": sha256_of_file(task.source),
        "split_time": task.split_time,
        "already_cut": task.already_cut,
    }


def _fingerprint(recipe: Recipe, code: str) -> str:
    return sha256_of_json(decided_by(recipe, code))[:16]


def _still_holds(run_dir: Path, row: Cut | LostVideo) -> bool:
    if isinstance(row, LostVideo):
        return row.reason not in _TRANSIENT
    return all(is_intact(run_dir / part.path, part.sha256) for part in row.segments)


def _after_failure(task: SplitTask, failure: Failure) -> LostVideo:
    shutil.rmtree(task.scratch, ignore_errors=True)
    return lost(task.identity, _REASONS[failure.kind], failure.detail)


def _drop_segments(rows: list[LostVideo], run_dir: Path) -> None:
    for row in rows:
        for part in ("first", "second"):
            (run_dir / segment_path(part, row.id)).unlink(missing_ok=True)
