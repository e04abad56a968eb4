"""A video's signature, read from the file: its images at a few times, without bars, as grids of mean colours."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from nep.dedup.signature import GRID, TIMES_S, Signature
from nep.rows.quarantine import Reason
from nep.video.orientation import orientation_of
from nep.video.probe import decoded_frames, decoding
from nep.video.stream import open_video

# An image is the mean over this time, so that another frame rate or a shift by a frame matters little.
WINDOW_S = 0.5
# A seek costs half a group of pictures on average: below this gap, decoding goes on.
SEEK_GAP_S = 2.5
THUMBNAIL = 128
# Brightness (of 255, with coding noise) of bars, which are cut off while half of each side is left.
BLACK = 10

Images = NDArray[np.uint8]


def _runs(times: Sequence[float]) -> list[list[float]]:
    """Times in runs that are decoded without a seek."""
    runs = [[times[0]]]
    for before, time in itertools.pairwise(times):
        if time - before > SEEK_GAP_S:
            runs.append([])
        runs[-1].append(time)
    return runs


_RUNS = _runs(TIMES_S)


def signature_of(path: Path) -> Signature:
    """Grids, uint8 (GRID, GRID, 3) RGB, by time in seconds; without the times that the video does not reach.

    Raises Rejection (undecodable_video) for a file that cannot be read.
    """
    with decoding(Reason.UNDECODABLE_VIDEO):
        images = dict(_images(path))
    if not images:
        return {}
    trimmed = without_bars(np.stack(list(images.values())))
    return dict(zip(images, np.rint(area_average(trimmed, GRID)).astype(np.uint8), strict=True))


def without_bars(images: Images) -> Images:
    """Images (T, H, W, 3) without the rows and columns at their edges that are black, on average, in all of them."""
    brightness = images.max(axis=3)
    rows, columns = (_lit(brightness.mean(axis=axis).max(axis=0)) for axis in (2, 1))
    return images[:, rows, columns]


def area_average(images: Images, grid: int) -> NDArray[np.float64]:
    """Mean colours of a grid × grid division of images (T, H, W, 3); cells share the pixels on their borders."""
    return _average(_average(images.astype(np.float64), grid, axis=1), grid, axis=2)


def _images(path: Path) -> Iterator[tuple[float, Images]]:
    """(time, mean of what is shown in the WINDOW_S before it) for TIMES_S, as long as the video goes on."""
    with open_video(path) as (container, stream):
        frames = _stamped_frames(container, stream)
        first = next(frames, None)
        if first is None:
            return
        frames = itertools.chain([first], frames)
        for times in _RUNS:
            if times is not _RUNS[0]:
                container.seek(first.pts + round((times[0] - WINDOW_S) / stream.time_base), stream=stream)
                frames = _stamped_frames(container, stream)
            means = list(_means(frames, times, first.pts, stream.time_base))
            yield from means
            if len(means) < len(times):
                return


def _stamped_frames(container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
    return (frame for frame in decoded_frames(container, stream) if frame.pts is not None)


def _means(
    frames: Iterable[VideoFrame], times: Sequence[float], origin: int, time_base: Fraction
) -> Iterator[tuple[float, Images]]:
    """Means of the frames, each weighted by how long it is shown, over the window before each of `times`."""
    reformatter = VideoReformatter()
    waiting = list(times)
    total, covered = np.zeros((THUMBNAIL, THUMBNAIL, 3)), 0.0
    for frame, following in itertools.pairwise(frames):
        start, end = (float((shown.pts - origin) * time_base) for shown in (frame, following))
        while waiting:
            overlap = min(end, waiting[0]) - max(start, waiting[0] - WINDOW_S)
            if overlap > 0:
                total += overlap * _thumbnail(frame, reformatter)
                covered += overlap
            if end < waiting[0]:
                break
            # A seek that has landed too late leaves a part of the window uncovered.
            if covered > WINDOW_S / 2:
                yield waiting[0], np.rint(total / covered).astype(np.uint8)
            del waiting[0]
            total, covered = np.zeros_like(total), 0.0
        if not waiting:
            return


def _thumbnail(frame: VideoFrame, reformatter: VideoReformatter) -> Images:
    small = reformatter.reformat(
        frame, width=THUMBNAIL, height=THUMBNAIL, format="rgb24", interpolation=Interpolation.AREA
    )
    return orientation_of(frame).upright(small.to_ndarray())


def _lit(brightness: NDArray[np.float64]) -> slice:
    """From the first to the last line that is not black; all lines where those are less than half of them."""
    total = len(brightness)
    lit = np.flatnonzero(brightness > BLACK)
    if not lit.size or lit[-1] - lit[0] < total // 2:
        return slice(0, total)
    # The outermost line beside a bar is a mixture of both.
    return slice(int(lit[0]) + (lit[0] > 0), int(lit[-1]) + (lit[-1] == total - 1))


def _average(values: NDArray[np.float64], grid: int, axis: int) -> NDArray[np.float64]:
    """Means over `grid` equal parts of an axis; a value on a border counts in both parts, by its share."""
    length = values.shape[axis]
    edges = np.linspace(0, length, grid + 1)
    places = np.arange(length + 1)
    sums = np.insert(np.cumsum(values, axis), 0, 0.0, axis=axis)
    at_edges = np.apply_along_axis(lambda line: np.interp(edges, places, line), axis, sums)
    return np.diff(at_edges, axis=axis) * grid / length
