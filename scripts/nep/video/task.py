"""One record of the split stage, as a worker process handles it: probe, cut, verify, publish, one manifest row."""

import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from nep.files import sha256_of_file
from nep.records.quarantine import Reason, Rejection, quarantine_row
from nep.video.probe import Probe, probe
from nep.video.split import Recipe, cut_pts, encode_parts, encode_whole
from nep.video.verify import verify_part

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
    deadline = time.monotonic() + task.limit_s
    source = probe(task.source)
    cut = cut_pts(source, task.split_time)
    first, second = workspace / "first.mp4", workspace / "second.mp4"
    encode_parts(task.source, source, cut, first, second, task.recipe, _remaining(deadline))
    before = [pts for pts in source.pts if pts < cut]
    after = source.pts[len(before) :]
    shown = verify_part(first, before, source.time_base, "first")
    verify_part(second, after, source.time_base, "second")
    return {
        **_described(task, source, shown, way="encode", split_pts=cut),
        "first": _publish(task, "first", first, before),
        "second": _publish(task, "second", second, after),
    }


def _as_is(task: SplitTask, workspace: Path) -> dict[str, Any]:
    deadline = time.monotonic() + task.limit_s
    source = probe(task.source)
    first = workspace / "first.mp4"
    if _is_segment_like(source):
        shutil.copyfile(task.source, first)
        shown = source
    else:
        encode_whole(task.source, source, first, task.recipe, _remaining(deadline))
        shown = verify_part(first, source.pts, source.time_base, "first")
    return {
        **_described(task, source, shown, way="as_is", split_pts=None),
        "first": _publish(task, "first", first, source.pts),
        "second": None,
    }


def _is_segment_like(source: Probe) -> bool:
    even = source.width % 2 == 0 and source.height % 2 == 0
    upright = source.rotation % 360 == 0
    h264_mp4 = "mp4" in source.container and source.codec == "h264" and source.pixel_format == "yuv420p"
    return h264_mp4 and even and upright


def _described(task: SplitTask, source: Probe, shown: Probe, *, way: str, split_pts: int | None) -> dict[str, Any]:
    return {
        "id": task.identity,
        "status": "ok",
        "way": way,
        "split_pts": split_pts,
        "time_base": _text(source.time_base),
        "fps": float(source.fps),
        "width": shown.width,
        "height": shown.height,
        "source_frames": len(source.pts),
        "duration": round(float(source.duration), 6),
    }


def _publish(task: SplitTask, part: str, file: Path, pts: Sequence[int]) -> dict[str, Any]:
    relative = segment_path(part, task.identity)
    target = task.run_dir / relative
    target.parent.mkdir(parents=True, exist_ok=True)
    digest = sha256_of_file(file)
    file.replace(target)
    return {"path": relative, "frames": len(pts), "sha256": digest}


def _remaining(deadline: float) -> float:
    remaining = deadline - time.monotonic()
    if remaining <= 0:
        raise Rejection(Reason.SPLIT_TIMEOUT, "reading the video took the whole time limit")
    return remaining


def _text(ratio: Fraction) -> str:
    return f"{ratio.numerator}/{ratio.denominator}"
