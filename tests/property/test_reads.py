"""The encode stage's frames are those of a sequential decode, to the bit, for every kind of video."""

import random
from pathlib import Path

import av
import numpy as np
import pytest
from numbered import COPIED, KINDS, Kind, make

from mini_clips import CLIPS
from nep.config.vision import Vision
from nep.encode import frames
from nep.encode.frames import decode_clip
from nep.model.clip import Clip
from nep.model.frame_sampling import sampled_indices
from nep.model.resizing import WithinBudget, resize_frame
from nep.video.probe import probe
from nep.video.rgb import RgbConverter

FACTOR = 28
# What is read without a decode of the whole: for these, a full decode would be a failure.
SELECTED = {
    *(*COPIED, "negative.mp4", "edit_list.mp4", "in_avi.avi", "transport.ts"),
    *("ten_bit.mp4", "full_chroma.mp4", "interlaced.mp4"),
}


def by_sequential_decode(path: Path, vision: Vision) -> Clip:
    """Every frame decoded, one thread, no choice of packets."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "NONE"
        decoded = []
        for packet in container.demux(stream):
            try:
                decoded += packet.decode()
            except av.FFmpegError:
                continue
        fps = float(stream.average_rate or stream.guessed_rate)
        indices = sampled_indices(vision, len(decoded), fps)
        convert = RgbConverter()
        pixels = [convert(decoded[index]) for index in indices]
        shown = probe(path).pts
        times = [float((shown[index] - shown[0]) * stream.time_base) for index in indices]
    size = decode_clip(path, vision, WithinBudget(FACTOR)).frames.shape[1:3]
    resized = np.stack([resize_frame(picture, size) for picture in pixels])
    return Clip(resized, tuple(round(time, 6) for time in times), tuple(indices), len(decoded), fps)


def assert_equal(found: Clip, wanted: Clip) -> None:
    assert (found.pts, found.indices, found.total, found.source_fps) == (
        *(wanted.pts, wanted.indices, wanted.total),
        wanted.source_fps,
    )
    assert np.array_equal(found.frames, wanted.frames)


def random_budgets(key: str) -> list[Vision]:
    chance = random.Random(key)
    uniform = [Vision(frames=2 * chance.randint(1, 30)) for _ in range(5)]
    return [*uniform, *(Vision(sampling="fps", fps=chance.uniform(1, 8), frames=24) for _ in range(3))]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_kind(kind: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make(kind, tmp_path)
    wanted = [(vision, by_sequential_decode(path, vision)) for vision in random_budgets(kind.name)]
    if kind.name in SELECTED:
        monkeypatch.setattr(frames, "_decode_all", None)
    for vision, clip in wanted:
        assert_equal(decode_clip(path, vision, WithinBudget(FACTOR)), clip)


@pytest.mark.parametrize("name", [clip.name for clip in CLIPS])
def test_real_clips(name: str, mini: Path) -> None:
    for vision in (Vision(), Vision(sampling="fps", fps=2.0, frames=16, max_pixels=50_000)):
        assert_equal(decode_clip(mini / name, vision, WithinBudget(FACTOR)), by_sequential_decode(mini / name, vision))
