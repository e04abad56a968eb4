"""CPU seconds of reading 32 frames of at most 16,384 pixels from a clip: the project's reader and four others.

    PYTHONPATH=scripts .venv/bin/python benchmarks/data_read.py

On 720p H.264 clips with B-frames (see clips.py), all in turn, one thread each. All take the same frames and resize them
the same way (`nep.encode.frames.resize_frame`); how a frame is reached is each library's own: decord's `get_batch`,
torchcodec's `get_frames_at` (exact), PyAV one frame after the other, OpenCV grabbing every frame and retrieving the
sampled ones. The project's pixels are compared with PyAV's. Writes `benchmarks/results/data_read.json`.
"""

import argparse
from functools import partial
from pathlib import Path

import cv2
import decord
import numpy as np
from numpy.typing import NDArray
from torchcodec.decoders import VideoDecoder

from clips import content, make_clips
from measure import interleaved, median_cpu, write_result
from nep.config.vision import Vision
from nep.encode.frames import decode_clip
from nep.model.frame_sampling import frame_budget, linspace_indices, resized_size
from nep.model.resizing import WithinBudget, resize_frame
from nep.video.probe import decoded_frames
from nep.video.rgb import RgbConverter
from nep.video.stream import open_video

VISION = Vision(frames=32, max_pixels=16384)
FACTOR = 28
TARGET = 1.6
Pixels = NDArray[np.uint8]


def main() -> None:
    """Measure, write the result file and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    seconds, ratios = {}, []
    for name, path in make_clips().items():
        if not np.array_equal(by_nep(path), by_pyav(path)):
            raise RuntimeError(f"{path}: the pixels differ from PyAV's")
        costs = interleaved({reader: partial(read, path) for reader, read in READERS.items()}, rounds, warm_up)
        seconds[name] = {reader: median_cpu(cost) for reader, cost in costs.items()}
        best = min((reader for reader in READERS if reader != "nep"), key=seconds[name].get)
        ratio = seconds[name][best] / seconds[name]["nep"]
        ratios.append({"what": "read", "against": best, "clip": name, "ratio": ratio, "target": TARGET})
    settings = {"frames": VISION.frames, "content": content(), "rounds": rounds}
    write_result("data_read", {**settings, "cpu_s": seconds, "ratios": ratios})
    for row in ratios:
        figures = ", ".join(f"{reader} {value:.2f}" for reader, value in seconds[row["clip"]].items())
        print("{clip:>6}  {ratio:.2f} times less than {against} (target {target})".format(**row), f"[{figures} s]")


def by_nep(path: Path) -> Pixels:
    """The encode stage's reader."""
    return decode_clip(path, VISION, WithinBudget(FACTOR)).frames


def by_pyav(path: Path) -> Pixels:
    """Every frame decoded, the sampled ones converted."""
    with open_video(path) as (container, stream):
        indices = set(sampled(stream.frames))
        convert = RgbConverter()
        frames = enumerate(decoded_frames(container, stream))
        return resized([convert(frame) for index, frame in frames if index in indices])


def by_decord(path: Path) -> Pixels:
    """The sampled frames as one batch."""
    reader = decord.VideoReader(str(path), num_threads=1)
    return resized(reader.get_batch(sampled(len(reader))).asnumpy())


def by_torchcodec(path: Path) -> Pixels:
    """The sampled frames as one batch."""
    decoder = VideoDecoder(str(path), dimension_order="NHWC", num_ffmpeg_threads=1)
    return resized(decoder.get_frames_at(sampled(len(decoder))).data.numpy())


def by_opencv(path: Path) -> Pixels:
    """Every frame grabbed, the sampled ones retrieved."""
    cv2.setNumThreads(1)
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    indices, frames = set(sampled(count)), []
    for index in range(count):
        capture.grab()
        if index in indices:
            frames.append(np.ascontiguousarray(capture.retrieve()[1][..., ::-1]))
    return resized(frames)


READERS = {"nep": by_nep, "PyAV": by_pyav, "decord": by_decord, "torchcodec": by_torchcodec, "OpenCV": by_opencv}


def sampled(total: int) -> list[int]:
    """Indices at equal distances."""
    return linspace_indices(VISION.frames, total)


def resized(frames: list[Pixels] | Pixels) -> Pixels:
    """RGB frames under the pixel budget."""
    height, width = frames[0].shape[:2]
    size = resized_size(height, width, FACTOR, frame_budget(VISION, VISION.frames, FACTOR))
    return np.stack([resize_frame(frame, size) for frame in frames])


def warm_up() -> None:
    """One thread for torch's resize, in every candidate."""
    import torch

    torch.set_num_threads(1)
    resized([np.zeros((720, 1280, 3), dtype=np.uint8)] * 2)


if __name__ == "__main__":
    main()
