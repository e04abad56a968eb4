"""The stages `shots` and `annotate` on plain videos of the demo's world, without Snakemake."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.annotator import Annotator

from nep.annotate.rows import AnnotatedVideo
from nep.annotate.stage import annotate_shard
from nep.config.annotate import Annotate
from nep.config.demo_videos import DemoVideos
from nep.config.shots import Shots
from nep.demo.hub_layout import demo_videos, write_demo_videos
from nep.demo.world import Scenario
from nep.files import read_json, read_jsonl, write_json
from nep.records.schema import record_id
from nep.rows.base import rows_as
from nep.shots.stage import merge_shots, shots_shard

SEED = 5
SHOTS = Shots(processes=1, near_duplicate_distance=None)


def demo_spec(videos: int, size: int = 84) -> DemoVideos:
    """So many videos, small ones."""
    return DemoVideos(train=videos - 1, test=1, size=size, fps=8, processes=1)


def demo_folder(folder: Path, videos: int) -> Path:
    """Write plain videos below `folder`/videos and `shots.jsonl` beside them."""
    plain = folder / "videos"
    write_demo_videos(demo_spec(videos), SEED, plain)
    names = sorted(path.relative_to(plain).as_posix() for path in plain.rglob("*.mp4"))
    write_json(folder / "names.json", [{"video_path": name} for name in names])
    write_json(folder / "questions.json", [])
    shard = folder / "1-of-1.jsonl"
    shots_shard(folder / "names.json", plain, SHOTS, 1, 1, folder, shard, "code")
    merge_shots([shard], folder / "questions.json", SHOTS, folder / "shots.jsonl", folder / "rejected.jsonl")
    return folder


def worlds(videos: int) -> dict[str, Scenario]:
    """The truth about the videos of `demo_folder`, by id."""
    return {record_id(video.path): video.scenario for video in demo_videos(demo_spec(videos), SEED)}


@dataclass(frozen=True)
class AnnotateRun:
    """What one start of the stage left: annotated videos and quarantine rows by id, usage by step; and its requests."""

    annotated: dict[str, AnnotatedVideo]
    rejected: dict[str, dict[str, Any]]
    usage: dict[str, dict[str, Any]]
    requests: int

    @classmethod
    def start(cls, plain: Path, run: Path, server: Annotator, **changes: Any) -> "AnnotateRun":
        """Annotate the videos of `demo_folder` in the folder `run`."""
        endpoint = {"url": server.url, "model": "scripted", **changes.pop("endpoint", {})}
        annotate = Annotate(**{"vision": endpoint, "frames": 24, "size": 84, "tolerance_s": 0.1, **changes})
        before = server.requests
        out, usage = run / "1-of-1.jsonl", run / "usage.json"
        annotate_shard(plain / "shots.jsonl", plain / "videos", annotate, 1, 1, run, out, usage, "code")
        rows = read_jsonl(out)
        kept = rows_as(AnnotatedVideo, [row for row in rows if "reason" not in row], str(out))
        return cls(
            annotated={row.id: row for row in kept},
            rejected={row["id"]: row for row in rows if "reason" in row},
            usage=read_json(usage),
            requests=server.requests - before,
        )
