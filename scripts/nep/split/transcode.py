"""Cutting with a full encode, for what cannot be copied: one ffmpeg process decodes once and writes both parts."""

from collections.abc import Sequence
from pathlib import Path

import ffmpeg
from ffmpeg.nodes import FilterableStream, OutputStream

from nep.rows.quarantine import Reason, Rejection
from nep.split.recipe import Recipe
from nep.video.probe import Probe
from nep.video.tools import FfmpegError, FfmpegTimeoutError, run_ffmpeg


def encode_parts(
    source: Path, probe: Probe, cut: int, first: Path, second: Path, recipe: Recipe, limit_s: float
) -> None:
    """Write the frames of `source` with PTS < `cut` to `first` and the others to `second`, within `limit_s` seconds.

    Both are MP4, H.264, yuv420p with even sizes, without audio, the display rotation applied to the pixels. They keep
    the source's time base and the differences of its time stamps, and start at 0. Raises Rejection if ffmpeg fails.
    """
    offset = cut - probe.pts[0]
    both = _frames(source, probe).filter_multi_output("split", 2)
    _run(
        ffmpeg.merge_outputs(
            _part(both[0].filter("select", f"lt(pts,{offset})"), first, probe, recipe),
            _part(both[1].filter("select", f"gte(pts,{offset})"), second, probe, recipe),
        ),
        (source, first, second),
        limit_s,
    )


def encode_whole(source: Path, probe: Probe, target: Path, recipe: Recipe, limit_s: float) -> None:
    """Write all frames of `source` to `target`, in the form that `encode_parts` gives to a part."""
    _run(_part(_frames(source, probe), target, probe, recipe), (source, target), limit_s)


def _frames(source: Path, probe: Probe) -> FilterableStream:
    # One thread, as in the probe: what a decoder conceals in a broken file depends on the number of threads.
    opened = ffmpeg.input(str(source), protocol_whitelist="file", threads=1, max_error_rate=1)
    # Relative to the first frame: for containers without PTS (AVI), versions of ffmpeg differ by a constant.
    return opened[str(probe.stream_index)].filter("settb", _ratio(probe, "/")).filter("setpts", "PTS-STARTPTS")


def _part(frames: FilterableStream, target: Path, probe: Probe, recipe: Recipe) -> OutputStream:
    upright = frames.filter("setpts", "PTS-STARTPTS").filter("crop", "trunc(iw/2)*2", "trunc(ih/2)*2", 0, 0)
    return ffmpeg.output(
        upright.filter("format", "yuv420p"),
        str(target),
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
        movflags="+faststart",
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
