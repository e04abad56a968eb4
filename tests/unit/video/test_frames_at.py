"""Frames by their times: the same pixels as of a decoder that reads all of the file."""

from pathlib import Path

import av
import numpy as np
import pytest

from nep.rows.quarantine import Rejection
from nep.video.frames_at import frames_at, shown_at
from nep.video.probe import open_video, probe
from nep.video.rgb import RgbConverter

FPS, COUNT = 10, 25


@pytest.fixture(scope="module", params=["libx264", "mpeg4"])
def clip(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip that grows brighter; only H.264 is read by selection."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(request.param, rate=FPS)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(COUNT):
            image = np.full((48, 64, 3), 10 * number, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def test_the_frame_that_is_shown_at_each_time(clip: Path) -> None:
    with open_video(clip) as (container, stream):
        convert = RgbConverter()
        every = [convert(frame) for frame in container.decode(stream)]
    times = [0.0, 0.05, 0.1, 0.95, 1.0, 0.0, 2.45, 99.0]
    found = frames_at(clip, times, lambda pixels: pixels)
    for pixels, number in zip(found, [0, 0, 1, 9, 10, 0, 24, 24], strict=True):
        assert np.array_equal(pixels, every[number])


def test_times_are_exact_decimals(clip: Path) -> None:
    timeline = probe(clip)
    for number in range(COUNT):
        assert shown_at(timeline.pts, timeline.time_base, number / FPS) == number


def test_a_file_that_is_no_video_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "no.mp4").write_bytes(b"no video")
    with pytest.raises(Rejection, match="undecodable_video"):
        frames_at(tmp_path / "no.mp4", [0.0], lambda pixels: pixels)
