"""The stage that signs videos: one shard of the source videos, and the merge of all shards."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av

from nep.dedup.frames import signature_of
from nep.dedup.signature import to_json
from nep.errors import InputError
from nep.files import confined, sha256_of_file, sha256_of_json
from nep.jobs.ledger import Ledger
from nep.jobs.shards import check_complete, shard_name, shard_of
from nep.jobs.workers import Failure, run_items
from nep.rows.base import read_rows, write_rows
from nep.rows.quarantine import Rejection
from nep.rows.question import SeedQuestion
from nep.rows.record import Record
from nep.rows.signature import SignedVideo

STAGE = "hash"


@dataclass(frozen=True)
class SignTask:
    """A video to sign."""

    identity: str
    path: Path


def sign_video(task: SignTask) -> SignedVideo:
    """The video's row, in a worker process; a video that cannot be read has no signature."""
    try:
        return SignedVideo(id=task.identity, signature=to_json(signature_of(task.path)))
    except Rejection as rejection:
        return SignedVideo(id=task.identity, signature={}, detail=rejection.detail)


def hash_shard(
    video_files: dict[str, str],
    videos: Path,
    shard: int,
    shards: int,
    processes: int,
    timeout_s: float,
    run_dir: Path,
    out: Path,
    code: str,
) -> None:
    """Sign the videos of one shard, `video_files` by id with paths below `videos`; write their rows, sorted by id.

    A video that is missing, broken or too slow gets a row without a signature: the split quarantines it. Signatures are
    taken over from an earlier run where the logic, of which `code` is the fingerprint, and the video's bytes are the
    same.
    """
    fingerprint = sha256_of_json({"code": code, "av": av.__version__})[:16]
    ledger = Ledger(run_dir / "work" / STAGE / fingerprint, SignedVideo, lambda row: row.detail is None)
    tasks, rows = [], []
    inputs: dict[str, dict[str, Any]] = {}
    for identity, relative in video_files.items():
        if shard_of(identity, shards) != shard:
            continue
        path = confined(videos, relative)
        inputs[identity] = {"source_sha256": sha256_of_file(path) if path.is_file() else None}
        if row := ledger.find(identity, inputs[identity]):
            rows.append(row)
        else:
            tasks.append(SignTask(identity, path))
    outcomes = run_items(
        sign_video,
        tasks,
        processes=processes,
        timeout_s=timeout_s,
        label=f"{STAGE} {shard_name(shard, shards)}",
        preload=[__name__],
    )
    for task, outcome in outcomes:
        failed = isinstance(outcome, Failure)
        row = SignedVideo(id=task.identity, signature={}, detail=outcome.detail) if failed else outcome
        ledger.store(task.identity, inputs[task.identity], row)
        rows.append(row)
    write_rows(out, sorted(rows, key=lambda row: row.id))


def merge_hashes(shard_files: Sequence[Path], out: Path) -> None:
    """Write all shards' rows, sorted by id, to `out`; say how many videos have no signature."""
    check_complete(shard_files)
    rows = sorted((row for file in shard_files for row in read_rows(SignedVideo, file)), key=lambda row: row.id)
    without = sum(not row.signature for row in rows)
    if without:
        print(f"{without} of {len(rows)} videos have no signature: too short, or not readable", file=sys.stderr)
    write_rows(out, rows)


def files_by_id(records: Path, seedbench: Path) -> dict[str, str]:
    """Source videos by id, paths below the video folder: those of all records, and of SeedBench-R1's questions.

    Raises InputError where one id has two files.
    """
    videos = [(records, row.id, row.video) for row in read_rows(Record, records)]
    videos += [(seedbench, row.video_id, row.video) for row in read_rows(SeedQuestion, seedbench)]
    found: dict[str, str] = {}
    for file, identity, video in videos:
        if video is not None and found.setdefault(identity, video) != video:
            raise InputError(f"{file}: {identity} is {video!r}, but {found[identity]!r} before")
    return found
