"""One record of the split stage, as a worker process handles it: probe, cut, verify, publish, one manifest row."""

import shutil
import tempfile
import time
from bisect import bisect_left
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nep.files import sha256_of_file
from nep.rows.quarantine import Reason, Rejection, quarantine_row
from nep.split.audio import add_audio
from nep.split.recipe import Recipe
from nep.split.stream_copy import Copied, copy_whole, cut_by_copy
from nep.split.transcode import encode_parts, encode_whole
from nep.split.verify import verify_part
from nep.video.packets import IrregularStreamError
from nep.video.probe import Probe, probe
from nep.video.timeline import Timeline, cut_pts

STAGE = "split"


@dataclass(frozen=True)
class SplitTask:
    """What a worker needs to split one video. `scratch` is a folder below `run_dir` for this id only."""

    identity: str
    source: Path
    split_time: float | None
    already_cut: bool
    run_dir: Path
    scratch: Path
    recipe: Recipe
    limit_s: float


def segment_path(part: str, identity: str) -> str:
    """Where a part ("first" or "second") of a video lies, relative to the run's folder."""
    return f"segments/{part}/{identity}.mp4"


def split_video(task: SplitTask) -> dict[str, Any]:
    """Cut one video and publish its verified parts. Returns its manifest row, status "ok" or "quarantined"."""
    shutil.rmtree(task.scratch, ignore_errors=True)
    task.scratch.mkdir(parents=True)
    try:
        workspace = Path(tempfile.mkdtemp(dir=task.scratch))
        return _as_is(task, workspace) if task.already_cut else _cut(task, workspace)
    except Rejection as error:
        return quarantined(task.identity, error.reason, error.detail)
    finally:
        shutil.rmtree(task.scratch, ignore_errors=True)


def quarantined(identity: str, reason: Reason, detail: str) -> dict[str, Any]:
    """The manifest row of a video that cannot be used."""
    return {**quarantine_row(identity, STAGE, reason, detail), "status": "quarantined"}


def _cut(task: SplitTask, workspace: Path) -> dict[str, Any]:
    if task.split_time is None:
        raise Rejection(Reason.MISSING_SPLIT_TIME, "the record has no split time and is not already cut")
    first, second = workspace / "first.mp4", workspace / "second.mp4"
    try:
        made = cut_by_copy(task.source, task.split_time, first, second, task.recipe.crf)
    except IrregularStreamError as reason:
        return _cut_by_encode(task, first, second, str(reason))
    row = _described(task, made, made.timeline, way="copy", encoded=made.encoded)
    return {**row, **_finished(task, made.timeline, made.cut, first, second)}


def _cut_by_encode(task: SplitTask, first: Path, second: Path, why: str) -> dict[str, Any]:
    deadline = time.monotonic() + task.limit_s
    source = probe(task.source)
    cut = cut_pts(source, task.split_time)
    before = bisect_left(source.pts, cut)
    encode_parts(task.source, source, before, first, second, task.recipe, _remaining(deadline))
    shown = verify_part(first, source.pts[:before], source.time_base, "first")
    verify_part(second, source.pts[before:], source.time_base, "second")
    row = _described(task, shown, source, way="encode", encoded=len(source.pts), why=why)
    return {**row, **_finished(task, source, cut, first, second)}


def _as_is(task: SplitTask, workspace: Path) -> dict[str, Any]:
    first = workspace / "first.mp4"
    try:
        made = copy_whole(task.source, first)
        row, source = _described(task, made, made.timeline, way="copy", encoded=0), made.timeline
    except IrregularStreamError as why:
        deadline = time.monotonic() + task.limit_s
        source = probe(task.source)
        encode_whole(task.source, source, first, task.recipe, _remaining(deadline))
        shown = verify_part(first, source.pts, source.time_base, "first")
        row = _described(task, shown, source, way="encode", encoded=len(source.pts), why=str(why))
    return {**row, **_finished(task, source, None, first, None)}


def _finished(task: SplitTask, source: Timeline, cut: int | None, first: Path, second: Path | None) -> dict[str, Any]:
    """Add the sound if asked, publish the parts, and say where the cut lies and what they hold."""
    before = len(source.pts) if cut is None else bisect_left(source.pts, cut)
    audio = None
    if task.recipe.audio == "keep":
        begin = source.pts[0] * source.time_base
        middle = None if cut is None else cut * source.time_base
        audio = add_audio(first, task.source, begin, middle)
        if second is not None:
            add_audio(second, task.source, middle, None)
    return {
        "split_pts": cut,
        "audio": audio,
        "first": _publish(task, "first", first, before),
        "second": None if second is None else _publish(task, "second", second, len(source.pts) - before),
    }


def _described(
    task: SplitTask, part: Copied | Probe, source: Timeline, *, way: str, encoded: int, why: str | None = None
) -> dict[str, Any]:
    """What is said of a cut video: the form of its parts, how they were made, and why not by copying."""
    return {
        "id": task.identity,
        "status": "ok",
        "way": way,
        "why": why,
        "encoded_frames": encoded,
        "time_base": f"{source.time_base.numerator}/{source.time_base.denominator}",
        "fps": float(part.fps),
        "width": part.width,
        "height": part.height,
        "source_frames": len(source.pts),
        "duration": round(float(source.duration), 6),
    }


def _publish(task: SplitTask, part: str, file: Path, frames: int) -> dict[str, Any]:
    relative = segment_path(part, task.identity)
    target = task.run_dir / relative
    target.parent.mkdir(parents=True, exist_ok=True)
    digest = sha256_of_file(file)
    file.replace(target)
    return {"path": relative, "frames": frames, "sha256": digest}


def _remaining(deadline: float) -> float:
    remaining = deadline - time.monotonic()
    if remaining <= 0:
        raise Rejection(Reason.SPLIT_TIMEOUT, "reading the video took the whole time limit")
    return remaining
