"""Videos of the demo's world, written in exactly the layout of the hub data set V1-33K."""

import gzip
import io
import random
import sys
import tarfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
from tqdm import tqdm

from nep.config.demo_videos import DemoVideos
from nep.data.prompts import Prompts
from nep.demo.questions import future_questions
from nep.demo.video_questions import multiple_choice_pairs, open_pair
from nep.demo.world import DIRECTIONS, Scenario, draw_scenario, frame_at, tell
from nep.files import atomic_path, drop_unfinished, write_json

SOURCE = "lamps"
WRONG_PREDICTION_FRACTION = 0.05
KEYFRAME_SECONDS = 2


@dataclass(frozen=True)
class DemoVideo:
    """One video of the demo: its number decides everything about it."""

    number: int
    scenario: Scenario

    @property
    def path(self) -> str:
        """The `video_path` of its record, as in V1-33K."""
        return f"video_dataset/{SOURCE}/lamps_{self.number:06d}.mp4"


def write_demo_hub(spec: DemoVideos, prompts: Prompts, seed: int, folder: Path) -> None:
    """Write archives, annotations and questions below `folder`. The same arguments give the same bytes.

    The first `train` videos are for training; the questions are about the `test` videos after them.
    """
    videos = demo_videos(spec, seed)
    drop_unfinished(folder)
    with atomic_path(folder) as temporary:
        temporary.mkdir()
        _write_archives(videos, spec, temporary)
        write_json(temporary / "next_event_prediction.json", [_record(video, prompts, seed) for video in videos])
        write_json(temporary / "futurebench.json", list(_questions(videos[spec.train :], spec, seed)))


def write_demo_videos(spec: DemoVideos, seed: int, folder: Path) -> None:
    """Write the same videos as plain files, and the same questions, below `folder`: no archives and no annotations."""
    videos = demo_videos(spec, seed)
    drop_unfinished(folder)
    with atomic_path(folder) as temporary:
        for video, data in _encoded(videos, spec):
            path = temporary / video.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        write_json(temporary / "futurebench.json", list(_questions(videos[spec.train :], spec, seed)))


def demo_videos(spec: DemoVideos, seed: int) -> list[DemoVideo]:
    """The videos of a demo, those for training first."""
    numbers = range(spec.train + spec.test)
    return [DemoVideo(number, draw_scenario(random.Random(f"{seed}/video/{number}"))) for number in numbers]


def encode_video(video: DemoVideo, spec: DemoVideos) -> bytes:
    """The video as an MP4 file: H.264 with B-frames, a keyframe every two seconds, one encoder thread."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("libx264", rate=spec.fps)
        stream.width = stream.height = spec.size
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        stream.codec_context.gop_size = KEYFRAME_SECONDS * spec.fps
        stream.codec_context.max_b_frames = 2
        # No macroblock tree: x264 lets it depend on memory that it has not written.
        stream.options = {"preset": "veryfast", "crf": "20", "x264-params": "mbtree=0"}
        for index in range(round(video.scenario.duration * spec.fps)):
            pixels = frame_at(video.scenario, index / spec.fps, spec.size)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    return buffer.getvalue()


def _write_archives(videos: Sequence[DemoVideo], spec: DemoVideos, folder: Path) -> None:
    contents = _encoded(videos, spec)
    bounds = np.linspace(0, len(videos), spec.archives + 1).astype(int)
    for part in range(spec.archives):
        count = int(bounds[part + 1] - bounds[part])
        _write_archive(folder / f"video_data_part{part}.tar.gz", [next(contents) for _ in range(count)])


def _encoded(videos: Sequence[DemoVideo], spec: DemoVideos) -> Iterator[tuple[DemoVideo, bytes]]:
    """The videos in their order, each with its file's content."""
    with ProcessPoolExecutor(spec.processes) as pool:
        encoded = pool.map(encode_video, videos, [spec] * len(videos), chunksize=8)
        yield from zip(videos, tqdm(encoded, "render", len(videos), file=sys.stderr, mininterval=5), strict=True)


def _write_archive(path: Path, contents: Sequence[tuple[DemoVideo, bytes]]) -> None:
    with (
        path.open("wb") as raw,
        gzip.GzipFile(filename="", fileobj=raw, mode="wb", compresslevel=1, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for video, data in contents:
            member = tarfile.TarInfo(video.path)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


def _record(video: DemoVideo, prompts: Prompts, seed: int) -> dict[str, Any]:
    world = video.scenario
    rng = random.Random(f"{seed}/record/{video.number}")
    right = rng.random() >= WRONG_PREDICTION_FRACTION
    predicted = world.after if right else _reversed_run(world)
    split, scenes = world.events_before, len(world.events)
    first, second = f"{tell(world.before)}.", f"{tell(world.after)}."
    return {
        "video_path": video.path,
        "full_video_path": f"V1-33K/{video.path}",
        "caption": f"A ball runs {DIRECTIONS[world.direction]} round a ring of lamps. {tell(world.events)}.",
        "events": [
            {"scene": f"Scene {number}", "description": f"{tell([colour])}."}
            for number, colour in enumerate(world.events, start=1)
        ],
        "mc_qa": multiple_choice_pairs(world, prompts, rng),
        "oe_qa": open_pair(world),
        "video_split": {
            "split_caption": {"caption_part1": first, "caption_part2": second},
            "scenes_timestep": [
                {f"Scene {split}": {"start": round((split - 1) * world.step_s, 3), "end": round(world.split_time, 3)}},
                {f"Scene {scenes}": {"start": round(world.split_time, 3), "end": round(world.duration, 3)}},
            ],
        },
        "ds_reasoning": {
            "rewritten_reasoning_content": tell(predicted),
            "rewritten_prediction_content": f"{tell(predicted)}.",
        },
        "o3_critique": {
            "Critique": f"{tell(world.after[:1])} next.",
            "Conclusion": "right" if right else "wrong",
        },
        # Not published: what `annotate.hindsight` writes.
        "hindsight_reasoning": tell(world.after),
    }


def _reversed_run(world: Scenario) -> list[str]:
    """What would come next if the ball ran the other way."""
    last = world.colours.index(world.before[-1])
    steps = range(1, len(world.after) + 1)
    return [world.colours[(last - world.direction * step) % len(world.colours)] for step in steps]


def _questions(videos: Sequence[DemoVideo], spec: DemoVideos, seed: int) -> Any:
    for video in videos:
        rng = random.Random(f"{seed}/questions/{video.number}")
        for item in future_questions(video.scenario, rng)[: spec.questions_per_video]:
            yield {"id": f"{video.number:06d}_{item['question_type']}", "video_path": video.path, **item}
