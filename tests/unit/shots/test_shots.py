"""Looking through plain videos: exact shot boundaries, and which videos are left out, with the reason."""

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image, ImageFilter

from nep.config.shots import Shots
from nep.dedup.signature import GRID, Signature
from nep.errors import InputError
from nep.files import read_jsonl, write_json
from nep.records.schema import left_out_row
from nep.rows.quarantine import Quarantined, Reason
from nep.shots.boundaries import look_through
from nep.shots.stage import later_copies, merge_shots, shots_shard
from nep.video.probe import probe
from nep.video.timeline import cut_pts

FPS = 12
SHOT_FRAMES = (20, 25, 30)


def landscape(seed: int, frames: int) -> Iterator[np.ndarray]:
    """A slow view over soft colours: uint8 (72, 96, 3)."""
    rng = np.random.default_rng(seed)
    noise = Image.fromarray(rng.integers(0, 255, (9, 12, 3), np.uint8)).resize((240, 180), Image.Resampling.BICUBIC)
    whole = np.asarray(noise.filter(ImageFilter.GaussianBlur(3)))
    for number in range(frames):
        yield np.ascontiguousarray(whole[number : number + 72, number : number + 96])


def write_video(path: Path, shots: list[tuple[int, int]]) -> Path:
    """Shots, each (seed, frames), one after the other."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"preset": "veryfast", "crf": "20"})
        stream.width, stream.height, stream.pix_fmt = 96, 72, "yuv420p"
        stream.codec_context.thread_count = 1
        for seed, frames in shots:
            for image in landscape(seed, frames):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    return path


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of plain videos: two of their own, a copy, one too short, a broken and an empty file, a cut one."""
    folder = tmp_path_factory.mktemp("videos")
    write_video(folder / "a/one.mp4", list(enumerate(SHOT_FRAMES)))
    write_video(folder / "a/two.mp4", [(7, 40)])
    write_video(folder / "short.mp4", [(8, 12)])
    (folder / "copy.mp4").write_bytes((folder / "a/one.mp4").read_bytes())
    (folder / "broken.mp4").write_bytes((folder / "a/two.mp4").read_bytes()[:400])
    (folder / "empty.mp4").touch()
    write_video(folder / "first_part_video/cut.mp4", [(9, 30)])
    return folder


@pytest.fixture(scope="module")
def shard(videos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("run")
    names = [path.relative_to(videos).as_posix() for path in sorted(videos.rglob("*.mp4"))]
    rows = [{"video_path": name} for name in (*names, "../out.mp4")]
    gap = Quarantined(id="gap", stage="download", reason=Reason.MISSING_IMAGE, detail="gap: no image")
    write_json(run / "videos.json", [*rows, left_out_row({"video_path": "gap.mp4"}, gap)])
    out = run / "1-of-1.jsonl"
    shots_shard(run / "videos.json", videos, Shots(processes=1), 1, 1, run, out, "code")
    return out


def test_a_boundary_is_the_first_frame_of_a_shot(videos: Path) -> None:
    path = videos / "a/one.mp4"
    looked = look_through(path, threshold=3, min_shot_s=0.5)
    assert (looked.frames, looked.width, looked.height, looked.fps) == (sum(SHOT_FRAMES), 96, 72, FPS)
    timeline = probe(path)
    assert looked.duration == pytest.approx(float(timeline.duration), abs=1e-6)
    begins = [SHOT_FRAMES[0], SHOT_FRAMES[0] + SHOT_FRAMES[1]]
    assert [cut_pts(timeline, time) for time in looked.boundaries] == [timeline.pts[frame] for frame in begins]


def test_every_video_has_a_row_with_a_reason_where_it_is_left_out(shard: Path, tmp_path: Path) -> None:
    write_json(tmp_path / "none.json", [])
    merge_shots([shard], tmp_path / "none.json", Shots(), tmp_path / "shots.jsonl", tmp_path / "rejected.jsonl")
    kept = {row["video"] for row in read_jsonl(tmp_path / "shots.jsonl")}
    reasons = {row["id"]: row["reason"] for row in read_jsonl(tmp_path / "rejected.jsonl")}
    assert kept == {"a/two.mp4", "a/one.mp4"}
    assert {identity.rsplit("-", 1)[0]: reason for identity, reason in reasons.items()} == {
        "unknown-short": Reason.BAD_DURATION,
        "unknown-copy": Reason.NEAR_DUPLICATE_VIDEO,
        "unknown-broken": Reason.UNDECODABLE_VIDEO,
        "unknown-empty": Reason.EMPTY_VIDEO,
        "videos[7]": Reason.BAD_RECORD,
        "videos[8]": Reason.MISSING_IMAGE,
    }


def test_what_evaluation_asks_about_is_no_copy(shard: Path, tmp_path: Path) -> None:
    write_json(tmp_path / "asked.json", [{"video_path": "copy.mp4"}])
    merge_shots([shard], tmp_path / "asked.json", Shots(), tmp_path / "shots.jsonl", tmp_path / "rejected.jsonl")
    assert "copy.mp4" in {row["video"] for row in read_jsonl(tmp_path / "shots.jsonl")}


def test_a_run_without_any_video_ends_with_the_reasons(shard: Path, tmp_path: Path) -> None:
    write_json(tmp_path / "none.json", [])
    with pytest.raises(InputError, match=r"none of 8 videos can be annotated: bad_duration 4"):
        bounds = Shots(min_duration_s=100)
        merge_shots([shard], tmp_path / "none.json", bounds, tmp_path / "shots.jsonl", tmp_path / "rejected.jsonl")


def test_finished_videos_are_taken_over(shard: Path, videos: Path, tmp_path: Path) -> None:
    run = shard.parent
    (noted,) = run.glob("work/shots/*/unknown-one-*.json")
    noted.write_text(noted.read_text().replace('"fps": 12.0', '"fps": 13.0'))
    shots_shard(run / "videos.json", videos, Shots(processes=1), 1, 1, run, tmp_path / "again.jsonl", "code")
    before, after = read_jsonl(shard), read_jsonl(tmp_path / "again.jsonl")
    assert [new["id"] for old, new in zip(before, after, strict=True) if new != old] == [noted.stem]
    shots_shard(run / "videos.json", videos, Shots(processes=1), 1, 1, run, tmp_path / "again.jsonl", "other code")
    assert read_jsonl(tmp_path / "again.jsonl") == before


def signature(*values: int) -> Signature:
    """A signature whose grids differ by `values`."""
    rng = np.random.default_rng(0)
    base = rng.integers(0, 120, (GRID, GRID, 3), np.uint8)
    tilt = np.linspace(0, 1, GRID * GRID * 3).reshape(GRID, GRID, 3)
    return {time: (base + tilt * value).astype(np.uint8) for time, value in zip((0.5, 1.0, 2.0), values, strict=True)}


def test_of_a_chain_of_copies_only_those_of_a_kept_one_go() -> None:
    chain = {"a": signature(0, 0, 0), "b": signature(40, 40, 40), "c": signature(80, 80, 80)}
    (near,) = later_copies({"a": chain["a"], "b": chain["b"]}, 1.0).values()
    (far,) = later_copies({"a": chain["a"], "c": chain["c"]}, 1.0).values()
    assert near[1] < far[1]
    between = (near[1] + far[1]) / 2
    assert list(later_copies(chain, between)) == ["b"]
    assert list(later_copies(dict(reversed(chain.items())), between)) == ["b"]
    assert later_copies(chain, None) == {}
