"""One record of the split stage, as a worker process handles it: probe, cut, verify, publish, one manifest row."""

import shutil
import tempfile
import time
from bisect import bisect_left
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import av

from nep.files import sha256_of_file
from nep.layout.segments import segment_path
from nep.rows.cut import Cut, LostVideo, Segment
from nep.rows.quarantine import Reason, Rejection
from nep.split.audio import add_audio
from nep.split.recipe import Recipe
from nep.split.stream_copy import Copied, copy_whole, cut_by_copy, cut_first_by_copy
from nep.split.transcode import encode_first, encode_parts, encode_whole
from nep.split.verify import verify_part
from nep.video.declared import ends_early, shortfall
from nep.video.packets import IrregularStreamError
from nep.video.probe import Probe, probe
from nep.video.timeline import Timeline, cut_pts
from nep.video.tools import ffmpeg_version

STAGE = "split"


@dataclass(frozen=True)
class SplitTask:
    """What a worker needs to split one video. `scratch` is a folder below `run_dir` for this id only.

    `first_alone`: the second part is not made.
    """

    identity: str
    source: Path
    split_time: float | None
    already_cut: bool
    run_dir: Path
    scratch: Path
    recipe: Recipe
    limit_s: float
    first_alone: bool = False


def split_video(task: SplitTask) -> Cut | LostVideo:
    """Cut one video and publish its verified parts. Returns its manifest row."""
    shutil.rmtree(task.scratch, ignore_errors=True)
    task.scratch.mkdir(parents=True)
    try:
        workspace = Path(tempfile.mkdtemp(dir=task.scratch))
        return _as_is(task, workspace) if task.already_cut else _cut(task, workspace)
    except Rejection as error:
        return lost(task.identity, error.reason, error.detail)
    finally:
        shutil.rmtree(task.scratch, ignore_errors=True)


def decided_by(recipe: Recipe, code: str) -> dict[str, Any]:
    """What decides a cut beside video and moment: `code` is the fingerprint of the logic."""
    return {"recipe": asdict(recipe), "code": code, "ffmpeg": ffmpeg_version(), "av": av.__version__}


def lost(identity: str, reason: Reason, detail: str) -> LostVideo:
    """The manifest row of a video that cannot be used."""
    return LostVideo(id=identity, stage=STAGE, reason=reason, detail=detail)


def _cut(task: SplitTask, workspace: Path) -> Cut:
    if task.split_time is None:
        raise Rejection(Reason.MISSING_SPLIT_TIME, "the record has no split time and is not already cut")
    first, second = workspace / "first.mp4", None if task.first_alone else workspace / "second.mp4"
    try:
        if second is None:
            made = cut_first_by_copy(task.source, task.split_time, first, task.recipe)
        else:
            made = cut_by_copy(task.source, task.split_time, first, second, task.recipe)
    except IrregularStreamError as reason:
        return _cut_by_encode(task, first, second, str(reason))
    row = _described(task, made, made.timeline, way="copy", encoded=made.encoded, lacks=_lacks_of_copied(task, made))
    return Cut(**row, **_finished(task, made.timeline, made.cut, first, second))


def _cut_by_encode(task: SplitTask, first: Path, second: Path | None, why: str) -> Cut:
    deadline = time.monotonic() + task.limit_s
    source = probe(task.source)
    lacks = _allowed(task, shortfall(task.source, source, source.declared))
    cut = cut_pts(source, task.split_time)
    before = bisect_left(source.pts, cut)
    if second is None:
        encode_first(task.source, source, before, first, task.recipe, _remaining(deadline))
    else:
        encode_parts(task.source, source, before, first, second, task.recipe, _remaining(deadline))
    shown = verify_part(first, source.pts[:before], source.time_base, "first")
    if second is not None:
        verify_part(second, source.pts[before:], source.time_base, "second")
    row = _described(task, shown, source, way="encode", encoded=len(source.pts), lacks=lacks, why=why)
    return Cut(**row, **_finished(task, source, cut, first, second))


def _as_is(task: SplitTask, workspace: Path) -> Cut:
    first = workspace / "first.mp4"
    try:
        made = copy_whole(task.source, first)
        lacks, source = _lacks_of_copied(task, made), made.timeline
        row = _described(task, made, source, way="copy", encoded=0, lacks=lacks)
    except IrregularStreamError as why:
        deadline = time.monotonic() + task.limit_s
        source = probe(task.source)
        lacks = _allowed(task, shortfall(task.source, source, source.declared))
        encode_whole(task.source, source, first, task.recipe, _remaining(deadline))
        shown = verify_part(first, source.pts, source.time_base, "first")
        row = _described(task, shown, source, way="encode", encoded=len(source.pts), lacks=lacks, why=str(why))
    return Cut(**row, **_finished(task, source, None, first, None))


def _lacks_of_copied(task: SplitTask, made: Copied) -> str | None:
    # All stored frames have been copied: only where they end early, the other streams are worth a look.
    early = ends_early(made.timeline, made.declared)
    return _allowed(task, shortfall(task.source, made.timeline, made.declared)) if early else None


def _allowed(task: SplitTask, lacks: str | None) -> str | None:
    if lacks and task.recipe.incomplete == "quarantine":
        raise Rejection(Reason.INCOMPLETE_VIDEO, lacks)
    return lacks


def _finished(task: SplitTask, source: Timeline, cut: int | None, first: Path, second: Path | None) -> dict[str, Any]:
    """Add the sound if asked, publish the parts, and say where the cut lies and what they hold."""
    before = len(source.pts) if cut is None else bisect_left(source.pts, cut)
    audio = None
    if task.recipe.audio == "keep":
        begin = source.pts[0] * source.time_base
        middle = None if cut is None else cut * source.time_base
        audio = add_audio(first, task.source, begin, middle)
        if second is not None:
            audio = add_audio(second, task.source, middle, None) or audio
    return {
        "split_pts": cut,
        "audio": audio,
        "first": _publish(task, "first", first, before),
        "second": None if second is None else _publish(task, "second", second, len(source.pts) - before),
    }


def _described(
    task: SplitTask,
    part: Copied | Probe,
    source: Timeline,
    *,
    way: str,
    encoded: int,
    lacks: str | None,
    why: str | None = None,
) -> dict[str, Any]:
    """What is said of a cut video: the form of its parts, how they were made, why not by copying, what it lacks."""
    return {
        "id": task.identity,
        "way": way,
        "why": why,
        "encoded_frames": encoded,
        "incomplete": lacks,
        "time_base": f"{source.time_base.numerator}/{source.time_base.denominator}",
        "fps": float(part.fps),
        "width": part.width,
        "height": part.height,
        "source_frames": len(source.pts),
        "duration": round(float(source.duration), 6),
    }


def _publish(task: SplitTask, part: str, file: Path, frames: int) -> Segment:
    relative = segment_path(part, task.identity)
    target = task.run_dir / relative
    target.parent.mkdir(parents=True, exist_ok=True)
    digest = sha256_of_file(file)
    file.replace(target)
    return Segment(path=relative, frames=frames, sha256=digest)


def _remaining(deadline: float) -> float:
    remaining = deadline - time.monotonic()
    if remaining <= 0:
        raise Rejection(Reason.SPLIT_TIMEOUT, "reading the video took the whole time limit")
    return remaining
