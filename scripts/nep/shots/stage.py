"""The stage that looks through plain videos: one shard of them, and the merge of all shards without copies."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

from nep.config.shots import Shots
from nep.dedup.frames import signature_of
from nep.dedup.signature import Signature, from_json, near_duplicates, to_json
from nep.errors import InputError
from nep.files import confined, read_list, sha256_of_file, sha256_of_json
from nep.jobs.ledger import Ledger
from nep.jobs.shards import check_complete, shard_name, shard_of
from nep.jobs.workers import Failure, run_items
from nep.records.schema import record_id, usable_video_path
from nep.rows.base import read_rows, write_rows
from nep.rows.quarantine import Quarantined, Reason, Rejection, count_reasons
from nep.rows.record import CUT_FOLDER
from nep.shots.boundaries import look_through
from nep.shots.rows import LookedThrough, ShotsRow

STAGE = "shots"
# What decides a video's row beside the code.
PACKAGES = ("av", "numpy", "opencv-python-headless", "scenedetect-headless")
_REASONS = {"timeout": Reason.SHOTS_TIMEOUT, "crash": Reason.SHOTS_CRASH, "error": Reason.SHOTS_CRASH}
# A hang or a crash may come from the machine, not from the video: the next run tries again.
_TRANSIENT = frozenset({Reason.SHOTS_TIMEOUT, Reason.SHOTS_CRASH})
# Videos whose signatures are compared at once with as many others.
_COMPARED_AT_ONCE = 4096


@dataclass(frozen=True)
class LookTask:
    """A video to look through."""

    identity: str
    video: str
    path: Path
    sha256: str
    shots: Shots


def shots_shard(
    annotations: Path, videos: Path, shots: Shots, shard: int, shards: int, run_dir: Path, out: Path, code: str
) -> None:
    """Look through the videos of one shard; write to `out`, sorted by id, a row of each: that of `VideoShots` with the
    video's `signature`, or a quarantine row.

    `annotations`: list of objects whose `video_path` lies below `videos`; what is published already cut is passed over.
    Rows are taken over from an earlier run where the logic, of which `code` is the fingerprint, and the file's bytes
    are the same.
    """
    recipe = {"threshold": shots.threshold, "min_shot_s": shots.min_shot_s}
    packages = {name: version(name) for name in PACKAGES}
    fingerprint = sha256_of_json({"code": code, **packages, **recipe})[:16]
    ledger = Ledger(run_dir / "work" / STAGE / fingerprint, ShotsRow, _holds)
    rows: list[ShotsRow] = []
    tasks = []
    for identity, name in _videos_of(annotations):
        if shard_of(identity, shards) != shard:
            continue
        if isinstance(name, Rejection):
            rows.append(_left_out(identity, name.reason, name.detail))
            continue
        path = confined(videos, name)
        if not path.is_file():
            raise InputError(f"{path}: the video was there when it was listed; run finish_download again")
        task = LookTask(identity, name, path, sha256_of_file(path), shots)
        if row := ledger.find(identity, {"source_sha256": task.sha256}):
            rows.append(row)
        else:
            tasks.append(task)
    outcomes = run_items(
        look_at,
        tasks,
        processes=shots.processes,
        timeout_s=shots.timeout_s,
        label=f"{STAGE} {shard_name(shard, shards)}",
        preload=[__name__],
    )
    for task, outcome in outcomes:
        failed = isinstance(outcome, Failure)
        row = _left_out(task.identity, _REASONS[outcome.kind], outcome.detail) if failed else outcome
        ledger.store(task.identity, {"source_sha256": task.sha256}, row)
        rows.append(row)
    write_rows(out, sorted(rows, key=lambda row: row.id))


def look_at(task: LookTask) -> ShotsRow:
    """The video's row, in a worker process."""
    try:
        looked = look_through(task.path, task.shots.threshold, task.shots.min_shot_s)
        signature = to_json(signature_of(task.path))
    except Rejection as rejection:
        return _left_out(task.identity, rejection.reason, rejection.detail)
    return LookedThrough(id=task.identity, video=task.video, sha256=task.sha256, **asdict(looked), signature=signature)


def merge_shots(shard_files: Sequence[Path], questions: Path, shots: Shots, out: Path, rejected: Path) -> None:
    """Write the videos that can be annotated to `out` and the others to `rejected`, each sorted by id.

    Left out are videos of a length outside the bounds, and of near-duplicates the later one by name. A video that
    `questions` (published form) ask about counts as no copy: evaluation needs it, and `convert` keeps what looks like
    it out of training. Raises InputError where no video is left.
    """
    check_complete(shard_files)
    rows = sorted((row for file in shard_files for row in read_rows(ShotsRow, file)), key=lambda row: row.id)
    left_out = [row for row in rows if isinstance(row, Quarantined)]
    fitting = []
    for row in (row for row in rows if isinstance(row, LookedThrough)):
        if shots.min_duration_s <= row.duration <= shots.max_duration_s:
            fitting.append(row)
        else:
            left_out.append(_of_bad_duration(row, shots))
    asked = {row.get("video_path") for row in read_list(questions) if isinstance(row, dict)}
    compared = [row for row in fitting if row.signature and row.video not in asked]
    signatures = {row.id: from_json(row.signature) for row in sorted(compared, key=lambda row: row.video)}
    copies = later_copies(signatures, shots.near_duplicate_distance)
    left_out += [
        _left_out(copy, Reason.NEAR_DUPLICATE_VIDEO, f"looks like {kept}: distance {distance:g}")
        for copy, (kept, distance) in copies.items()
    ]
    kept = [row.without_signature() for row in fitting if row.id not in copies]
    if not kept:
        reasons = ", ".join(f"{reason} {count}" for reason, count in count_reasons(left_out).items())
        raise InputError(f"{STAGE}: none of {len(rows)} videos can be annotated: {reasons or 'the source holds none'}")
    write_rows(rejected, sorted(left_out, key=lambda row: row.id))
    write_rows(out, kept)


def later_copies(signatures: dict[str, Signature], max_distance: float | None) -> dict[str, tuple[str, float]]:
    """Ids that look like an earlier one, in the order of `signatures`, which is itself kept: that one, and the distance
    (1 - correlation). None where there is no `max_distance`."""
    if max_distance is None:
        return {}
    order = {identity: place for place, identity in enumerate(signatures)}
    earlier: dict[str, list[tuple[float, str]]] = {}
    for one, other, distance in _pairs(signatures, max_distance):
        first, later = sorted((one, other), key=order.__getitem__)
        earlier.setdefault(later, []).append((distance, first))
    copies: dict[str, tuple[str, float]] = {}
    for identity in sorted(earlier, key=order.__getitem__):
        like = [match for match in earlier[identity] if match[1] not in copies]
        if like:
            distance, first = min(like)
            copies[identity] = (first, distance)
    return copies


def _pairs(signatures: dict[str, Signature], max_distance: float) -> Iterator[tuple[str, str, float]]:
    """Pairs within the distance, each once, by blocks: memory does not grow with the square of the videos."""
    names = list(signatures)
    starts = range(0, len(names), _COMPARED_AT_ONCE)
    blocks = [{name: signatures[name] for name in names[start : start + _COMPARED_AT_ONCE]} for start in starts]
    for left, right in itertools.combinations_with_replacement(blocks, 2):
        for one, other, distance in near_duplicates(left, right, max_distance):
            if left is not right or one < other:
                yield one, other, distance


def _videos_of(annotations: Path) -> Iterator[tuple[str, str | Rejection]]:
    """(id, path) of the videos that are to be cut; (place in the file, why) for a path that cannot be used."""
    for index, row in enumerate(read_list(annotations)):
        try:
            name = usable_video_path(row)
        except Rejection as rejection:
            yield f"{annotations.stem}[{index}]", rejection
            continue
        if name.split("/")[0] != CUT_FOLDER:
            yield record_id(name), name


def _holds(row: ShotsRow) -> bool:
    return isinstance(row, LookedThrough) or row.reason not in _TRANSIENT


def _left_out(identity: str, reason: Reason, detail: str) -> Quarantined:
    return Quarantined(id=identity, stage=STAGE, reason=reason, detail=detail)


def _of_bad_duration(row: LookedThrough, shots: Shots) -> Quarantined:
    bounds = f"shots.min_duration_s is {shots.min_duration_s:g}, shots.max_duration_s {shots.max_duration_s:g}"
    return _left_out(row.id, Reason.BAD_DURATION, f"{row.duration:.3f} s; {bounds}")
