"""H.264 files of many reference structures, whole and broken, against a decoder that reads all of each file."""

import random
from pathlib import Path

import av
import numpy as np
import pytest
from h264_kinds import SELECTED, encode, make_kinds, x264

from nep.config.vision import Vision
from nep.encode.frames import ClipTask, Unreadable, read_clip
from nep.model.clip import Clip
from nep.model.frame_sampling import frame_budget, resized_size, sampled_indices
from nep.model.resizing import WithinBudget, resize_frame
from nep.video.frame_selection import index_pictures, selected_frames
from nep.video.h264_headers import BitReader, BitWriter, IrregularStreamError
from nep.video.rgb import RgbConverter
from nep.video.stream import open_video

FACTOR = 28
KINDS = (*SELECTED, "edit_list.mp4", "changing_sets.ts", "changing_sets.mkv")
DRAWS = 6


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return make_kinds(tmp_path_factory.mktemp("kinds"))


class Sequential:
    """All frames of a file, decoded one after the other on one thread; broken packets are passed over."""

    def __init__(self, path: Path) -> None:
        convert = RgbConverter()
        self.frames: list[np.ndarray] = []
        self.pts: list[float] = []
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            stream.codec_context.thread_count = 1
            self.fps = float(stream.average_rate or stream.guessed_rate)
            for packet in container.demux(stream):
                try:
                    decoded = packet.decode()
                except av.FFmpegError:
                    continue
                self.frames += [convert(frame) for frame in decoded]
                self.pts += [frame.pts * stream.time_base for frame in decoded]

    def clip(self, vision: Vision) -> Clip:
        """What reading the file must give."""
        indices = sampled_indices(vision, len(self.frames), self.fps)
        budget = frame_budget(vision, len(indices), FACTOR)
        size = resized_size(*self.frames[0].shape[:2], FACTOR, budget)
        return Clip(
            frames=np.stack([resize_frame(self.frames[index], size) for index in indices]),
            pts=tuple(round(float(self.pts[index] - self.pts[0]), 6) for index in indices),
            indices=tuple(indices),
            total=len(self.frames),
            source_fps=self.fps,
        )


def drawn(draw: random.Random) -> Vision:
    """A budget of frames and pixels by either rule."""
    frames = 2 * draw.randint(1, 24)
    pixels = draw.choice([4_000, 16_384])
    if draw.random() < 0.5:
        return Vision(sampling="uniform", frames=frames, max_pixels=pixels)
    return Vision(sampling="fps", fps=draw.choice([0.7, 2, 5.3]), frames=max(4, frames), max_pixels=pixels)


def read(path: Path, vision: Vision) -> Clip | Unreadable:
    return read_clip(ClipTask("a/first", path, vision, WithinBudget(FACTOR)))


def assert_equal(found: Clip | Unreadable, expected: Clip) -> None:
    assert isinstance(found, Clip), found
    assert found.indices == expected.indices
    assert (found.pts, found.total, found.source_fps) == (expected.pts, expected.total, expected.source_fps)
    assert found.frames.shape == expected.frames.shape
    assert np.array_equal(found.frames, expected.frames)


def selected(path: Path, wanted: list[int]) -> int:
    """How many frames come without a decode of the whole. Raises IrregularStreamError where that is not possible."""
    with open_video(path) as opened:
        index = index_pictures(*opened)
    with open_video(path) as opened:
        return sum(1 for _ in selected_frames(*opened, index, wanted))


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_equals_a_sequential_decode(name: str, kinds: dict[str, Path]) -> None:
    draw = random.Random(name)
    expected = Sequential(kinds[name])
    assert selected(kinds[name], [0, 20, 50]) == 3
    for _ in range(DRAWS):
        vision = drawn(draw)
        assert_equal(read(kinds[name], vision), expected.clip(vision))


def test_random_encodes_equal_a_sequential_decode(tmp_path: Path) -> None:
    for seed in range(12):
        draw = random.Random(seed)
        path = tmp_path / f"{seed}.{draw.choice(['mp4', 'mkv', 'ts', 'mov'])}"
        options = [
            f"bframes={draw.randint(0, 8)}",
            f"b-adapt={draw.randint(0, 1)}",
            f"b-pyramid={draw.choice(['none', 'strict', 'normal'])}",
            f"ref={draw.randint(1, 6)}",
            f"weightp={draw.randint(0, 2)}",
            f"weightb={draw.randint(0, 1)}",
            f"direct={draw.choice(['spatial', 'temporal', 'auto'])}",
            f"open-gop={draw.randint(0, 1)}",
            f"slices={draw.randint(1, 3)}",
            f"cabac={draw.randint(0, 1)}",
            f"keyint={draw.choice([10, 24, 60])}",
            f"8x8dct={draw.randint(0, 1)}",
            *draw.choice([[], ["tff=1"]]),
        ]
        encode(path, x264(*options), rate=draw.choice([12, 24, 30]), seconds=3)
        expected = Sequential(path)
        assert selected(path, [0, len(expected.frames) - 1]) == 2, options
        for _ in range(4):
            vision = drawn(draw)
            assert_equal(read(path, vision), expected.clip(vision))


@pytest.mark.parametrize("name", ["pyramid_one_reference.mp4", "pyramid_many_references.mkv", "transport.ts"])
@pytest.mark.parametrize("damage", ["bits", "zeros", "cut"])
def test_broken_files_equal_a_sequential_decode(name: str, damage: str, kinds: dict[str, Path], tmp_path: Path) -> None:
    content = kinds[name].read_bytes()
    # Behind the boxes, elements or tables that name the stream.
    begin = content.index(b"mdat") + 64 if name.endswith(".mp4") else len(content) // 20
    for seed in range(8):
        draw = random.Random(f"{name}/{damage}/{seed}")
        broken = bytearray(content)
        for _ in range(draw.choice([1, 3])):
            place = draw.randrange(begin, len(content) - 64)
            if damage == "bits":
                broken[place] ^= 1 << draw.randrange(8)
            elif damage == "zeros":
                broken[place : place + 64] = bytes(64)
            else:
                del broken[max(place, len(content) // 2) :]
        path = tmp_path / f"{seed}-{name}"
        path.write_bytes(broken)
        vision = drawn(draw)
        assert_equal(read(path, vision), Sequential(path).clip(vision))


def test_codes_are_read_as_written() -> None:
    draw = random.Random(0)
    values = [draw.choice([0, 1, 2, 255, draw.randrange(1 << 16)]) for _ in range(400)]
    bits = BitWriter()
    for value in values:
        bits.u(value % 8, 3)
        bits.ue(value)
        bits.se(value)
        bits.se(-value)
        bits.u(0, 24)
    nal = bits.nal(1)
    assert b"\0\0\0" not in nal
    assert b"\0\0\1" not in nal
    reader = BitReader(nal[1:])
    for value in values:
        assert [reader.u(3), reader.ue(), reader.se(), reader.se()] == [value % 8, value, value, -value]
        assert reader.u(24) == 0
    with pytest.raises(IrregularStreamError, match="cut off"):
        reader.u(16)
