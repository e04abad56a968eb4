"""Cutting with a full encode, for what cannot be copied: one ffmpeg process decodes once and writes both parts."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import ffmpeg
from ffmpeg.nodes import FilterableStream, OutputStream

from nep.rows.quarantine import Reason, Rejection
from nep.split.mp4 import write_stamped
from nep.split.recipe import Recipe
from nep.video.probe import Probe
from nep.video.timeline import typical_step
from nep.video.tools import FfmpegError, FfmpegTimeoutError, run_ffmpeg


def encode_parts(
    source: Path, probe: Probe, before: int, first: Path, second: Path, recipe: Recipe, limit_s: float
) -> None:
    """Write the first `before` frames of `source` to `first` and the others to `second`, within `limit_s` seconds.

    Both are MP4, H.264, yuv420p with even sizes, without audio, the display matrix applied to the pixels. They keep
    the probe's time base and the differences of its time stamps, and start at 0. Raises Rejection if ffmpeg fails.
    """
    sides = _Side(first, probe.pts[:before]), _Side(second, probe.pts[before:])
    both = _frames(source, probe).filter_multi_output("split", 2)
    chosen = both[0].filter("select", f"lt(n,{before})"), both[1].filter("select", f"gte(n,{before})")
    outputs = [_encoded(*each, probe, recipe) for each in zip(chosen, sides, strict=True)]
    _run(ffmpeg.merge_outputs(*outputs), (source, *(side.numbered for side in sides)), limit_s)
    for side in sides:
        side.finish(probe)


def encode_first(source: Path, probe: Probe, before: int, first: Path, recipe: Recipe, limit_s: float) -> None:
    """Write the first part as `encode_parts` does, to the same bytes; ffmpeg reads no farther than it needs to."""
    side = _Side(first, probe.pts[:before])
    chosen = _frames(source, probe).filter("trim", end_frame=before)
    _run(_encoded(chosen, side, probe, recipe), (source, side.numbered), limit_s)
    side.finish(probe)


def encode_whole(source: Path, probe: Probe, target: Path, recipe: Recipe, limit_s: float) -> None:
    """Write all frames of `source` to `target`, in the form that `encode_parts` gives to a part."""
    whole = _Side(target, probe.pts)
    _run(_encoded(_frames(source, probe), whole, probe, recipe), (source, whole.numbered), limit_s)
    whole.finish(probe)


@dataclass(frozen=True)
class _Side:
    """A part and its frames' time stamps."""

    path: Path
    pts: Sequence[int]

    @property
    def numbered(self) -> Path:
        """The part as ffmpeg writes it: frame after frame."""
        return self.path.with_name(f"numbered-{self.path.name}")

    def finish(self, probe: Probe) -> None:
        """Give the encoded frames their time stamps."""
        try:
            write_stamped(self.numbered, self.path, self.pts, probe.durations, probe.time_base)
        except ValueError as error:
            raise Rejection(
                Reason.SPLIT_NOT_EXACT, f"the {self.path.stem} part should have {len(self.pts)} frames: {error}"
            ) from None


def _frames(source: Path, probe: Probe) -> FilterableStream:
    # One thread, as in the probe: what a decoder conceals in a broken file depends on the number of threads.
    opened = ffmpeg.input(str(source), protocol_whitelist="file", threads=1, max_error_rate=1)
    # Frames are counted: which times a file without real time stamps gets depends on ffmpeg's version.
    regular = f"N*{typical_step(probe.pts) or 1}"
    return opened[str(probe.stream_index)].filter("settb", _ratio(probe, "/")).filter("setpts", regular)


def _encoded(frames: FilterableStream, side: _Side, probe: Probe, recipe: Recipe) -> OutputStream:
    upright = frames.filter("setpts", "PTS-STARTPTS").filter("crop", "trunc(iw/2)*2", "trunc(ih/2)*2", 0, 0)
    return ffmpeg.output(
        upright.filter("format", "yuv420p"),
        str(side.numbered),
        vcodec="libx264",
        preset=recipe.preset,
        crf=recipe.crf,
        # One thread, no macroblock tree: x264's output depends on the one, and on unwritten memory with the other.
        threads=1,
        fps_mode="passthrough",
        enc_time_base=_ratio(probe, ":"),
        video_track_timescale=probe.time_base.denominator,
        map_metadata=-1,
        fflags="+bitexact",
        **{"flags:v": "+bitexact", "x264-params": "mbtree=0"},
    )


def _run(outputs: OutputStream, paths: Sequence[Path], limit_s: float) -> None:
    options = ("-nostdin", "-v", "error", "-copyts", "-filter_threads", "1", "-filter_complex_threads", "1")
    try:
        run_ffmpeg(ffmpeg.get_args(outputs.global_args(*options), overwrite_output=True), limit_s)
    except FfmpegTimeoutError as error:
        raise Rejection(Reason.SPLIT_TIMEOUT, str(error)) from None
    except FfmpegError as error:
        if error.signal is not None:
            raise Rejection(Reason.SPLIT_CRASH, f"ffmpeg was ended by signal {error.signal}") from None
        detail = error.detail
        for path in paths:
            detail = detail.replace(str(path), path.name)
        raise Rejection(Reason.UNDECODABLE_VIDEO, f"ffmpeg ended with status {error.status}: {detail}") from None


def _ratio(probe: Probe, sign: str) -> str:
    return f"{probe.time_base.numerator}{sign}{probe.time_base.denominator}"
