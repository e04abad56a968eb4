import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image, ImageFilter
from support.rows import record, seed_question

from nep.config.convert import Convert
from nep.config.demo_videos import DemoVideos
from nep.dedup.frames import area_average, signature_of, without_bars
from nep.dedup.signature import GRID, TIMES_S, Signature, from_json, near_duplicates, to_json
from nep.dedup.stage import SignTask, files_by_id, hash_shard, merge_hashes
from nep.demo.hub_layout import DemoVideo, encode_video
from nep.demo.world import draw_scenario
from nep.errors import InputError
from nep.files import read_jsonl
from nep.jobs.workers import run_items
from nep.rows.base import write_rows
from nep.rows.quarantine import Reason, Rejection
from nep.video.tools import run_ffmpeg

LIMIT = Convert().near_duplicate_distance
X264 = ["-c:v", "libx264", "-preset", "veryfast", "-threads", "1", "-pix_fmt", "yuv420p"]
COPIES = {
    "half size, coarse": [*X264, "-vf", "scale=iw/2:-2", "-crf", "33"],
    "other group of pictures, B-frames": [*X264, "-crf", "28", "-g", "250", "-bf", "3"],
    "letterboxed": [*X264, "-crf", "26", "-vf", "pad=iw:trunc(ih*1.1/2)*2:0:(oh-ih)/2:black"],
    "pillarboxed": [*X264, "-crf", "26", "-vf", "pad=trunc(iw*1.15/2)*2:ih:(ow-iw)/2:0:black"],
    "brighter": [*X264, "-crf", "26", "-vf", "eq=brightness=0.04:contrast=1.08"],
    "MPEG-4": ["-c:v", "mpeg4", "-q:v", "4", "-threads", "1"],
    "first 3 s": [*X264, "-crf", "26", "-t", "3.2"],
}


def scene(seed: int, seconds: float, size: tuple[int, int] = (160, 96), fps: int = 12) -> Iterator[np.ndarray]:
    """A view that moves over a landscape of soft colours; `seed` decides the landscape and the way."""
    rng = np.random.default_rng(seed)
    noise = Image.fromarray(rng.integers(0, 255, (14, 20, 3), np.uint8)).resize((480, 320), Image.Resampling.BICUBIC)
    landscape = np.asarray(noise.filter(ImageFilter.GaussianBlur(3)))
    start, speed = rng.integers(0, 100, 2), rng.uniform(-12, 12, 2)
    for index in range(round(seconds * fps)):
        y, x = (np.abs(start + speed * index / fps) % (320 - 96, 320)).astype(int)
        yield landscape[y : y + size[1], x : x + size[0]]


def write_clip(path: Path, seed: int, seconds: float = 6.5) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=12, options={"preset": "veryfast", "crf": "18"})
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        for image in scene(seed, seconds):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")))
        container.mux(stream.encode(None))
    return path


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("clips")
    return {f"clip{seed}": write_clip(folder / f"clip{seed}.mp4", seed) for seed in range(6)}


@pytest.fixture(scope="module")
def signatures(clips: dict[str, Path]) -> dict[str, Signature]:
    return {name: signature_of(path) for name, path in clips.items()}


@pytest.mark.parametrize("kind", COPIES)
def test_a_copy_is_found_and_nothing_else(
    kind: str, clips: dict[str, Path], signatures: dict[str, Signature], tmp_path: Path
) -> None:
    copy = tmp_path / ("copy.avi" if kind == "MPEG-4" else "copy.mp4")
    run_ffmpeg(["-nostdin", "-v", "error", "-i", str(clips["clip2"]), *COPIES[kind], str(copy)])
    (pair,) = near_duplicates(signatures, {"copy": signature_of(copy)}, LIMIT)
    assert (pair.training, pair.evaluation) == ("clip2", "copy")
    assert pair.distance < LIMIT


def test_the_demos_look_alikes_are_told_apart_and_their_copies_found(tmp_path: Path) -> None:
    spec = DemoVideos(size=112, fps=8)
    signed = {}
    for number in range(80):
        path = tmp_path / f"{number}.mp4"
        path.write_bytes(encode_video(DemoVideo(number, draw_scenario(random.Random(f"0/video/{number}"))), spec))
        signed[str(number)] = signature_of(path)
    pairs = near_duplicates(signed, signed, LIMIT)
    assert [(pair.training, pair.evaluation) for pair in pairs] == [(name, name) for name in sorted(signed)]
    run_ffmpeg(
        [
            "-nostdin",
            "-v",
            "error",
            "-i",
            str(tmp_path / "7.mp4"),
            *COPIES["half size, coarse"],
            str(tmp_path / "c.mp4"),
        ]
    )
    found = near_duplicates(signed, {"copy": signature_of(tmp_path / "c.mp4")}, LIMIT)
    assert [pair.training for pair in found] == ["7"]


def test_images_are_means_over_the_half_second_before_a_time(tmp_path: Path) -> None:
    path = tmp_path / "ramp.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "bgr0"
        for index in range(25):
            image = np.full((64, 64, 3), 10 * index, np.uint8)
            image[:, :32] = 250
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    found = signature_of(path)
    assert list(found) == [0.5, 1.0, 2.0]
    # Frames 0 to 4 are shown before 0.5 s, 5 to 9 before 1 s, 15 to 19 before 2 s.
    assert {time: int(grid[0, -1, 0]) for time, grid in found.items()} == {0.5: 20, 1.0: 70, 2.0: 170}
    assert (found[0.5][:, 0] == 250).all()


def test_a_video_of_half_a_minute_is_read_at_all_times(tmp_path: Path) -> None:
    path = tmp_path / "long.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=4, options={"g": "20", "crf": "0"})
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv444p"
        for index in range(4 * 33):
            image = np.full((64, 64, 3), 60 + index, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    found = signature_of(path)
    assert tuple(found) == TIMES_S
    for time, grid in found.items():
        assert abs(float(grid.mean()) - (60 + 4 * time - 1.5)) < 2


def test_area_average_equals_block_means() -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 48, 60, 3)).astype(np.uint8)
    blocks = images.reshape(3, GRID, 8, GRID, 10, 3).mean(axis=(2, 4))
    np.testing.assert_allclose(area_average(images, GRID), blocks)
    uneven = area_average(images[:, :47, :59], GRID)
    np.testing.assert_allclose(uneven.mean(axis=(1, 2)), images[:, :47, :59].mean(axis=(1, 2)))


def test_bars_go_and_dark_images_stay() -> None:
    images = np.full((2, 64, 64, 3), 4, np.uint8)
    assert without_bars(images).shape == (2, 64, 64, 3)
    images[0, 6:, :, 1] = 90
    # One more line goes where a bar is: it may hold parts of both.
    assert without_bars(images).shape == (2, 57, 64, 3)
    images[0, 58:] = 4
    assert without_bars(images).shape == (2, 50, 64, 3)
    images[0, 2, 5:9] = 60
    assert without_bars(images).shape == (2, 50, 64, 3), "a little noise in a bar"
    images[:] = 4
    images[0, 30:40] = 90
    assert without_bars(images).shape == (2, 64, 64, 3)


def constant(values: np.ndarray, times: tuple[float, ...] = TIMES_S[:4]) -> Signature:
    return dict.fromkeys(times, values)


def test_distances_equal_a_plain_computation() -> None:
    rng = np.random.default_rng(1)
    base = rng.integers(0, 256, (20, 4, GRID, GRID, 3)).astype(np.uint8)
    noisy = np.clip(base.astype(int) + rng.integers(-25, 26, base.shape), 0, 255).astype(np.uint8)
    left = {f"t{number}": dict(zip(TIMES_S, grids, strict=False)) for number, grids in enumerate(base)}
    right = {
        f"e{number}": dict(zip(TIMES_S[: 2 + number % 3], grids, strict=False)) for number, grids in enumerate(noisy)
    }
    found = {pair[:2]: pair.distance for pair in near_duplicates(left, right, 2.0)}
    assert len(found) == 400
    for (training, evaluation), distance in found.items():
        common = right[evaluation].keys()
        values = [
            1 - np.corrcoef(left[training][time].ravel(), right[evaluation][time].ravel())[0, 1] for time in common
        ]
        assert distance == pytest.approx(max(values), abs=2e-4)


def test_flat_images_and_a_single_time_decide_nothing() -> None:
    rng = np.random.default_rng(2)
    grid = rng.integers(0, 256, (GRID, GRID, 3)).astype(np.uint8)
    flat = np.full_like(grid, 7)
    assert near_duplicates({"a": constant(flat)}, {"b": constant(flat)}, LIMIT) == []
    assert near_duplicates({"a": constant(grid, (0.5,))}, {"b": constant(grid)}, LIMIT) == []
    assert near_duplicates({"a": {}}, {"b": constant(grid)}, LIMIT) == near_duplicates({}, {}, LIMIT) == []
    assert len(near_duplicates({"a": constant(grid)}, {"b": constant(grid)}, LIMIT)) == 1


def test_signatures_come_back_from_json(signatures: dict[str, Signature]) -> None:
    again = from_json(to_json(signatures["clip1"]))
    assert again.keys() == signatures["clip1"].keys()
    assert all((again[time] == signatures["clip1"][time]).all() for time in again)


def test_what_cannot_be_read_is_a_rejection_and_what_is_short_has_no_signature(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(Rejection) as error:
        signature_of(tmp_path / "text.mp4")
    assert error.value.reason == Reason.UNDECODABLE_VIDEO
    assert signature_of(write_clip(tmp_path / "short.mp4", 1, seconds=0.3)) == {}


def sign(files: dict[str, str], videos: Path, shard: int, run: Path, out: Path) -> None:
    options = {"processes": 1, "timeout_s": 60.0, "run_dir": run, "out": out, "code": "0"}
    hash_shard(files, videos, shard=shard, shards=2, **options)


def test_only_videos_that_are_new_or_changed_are_signed(
    clips: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed: list[str] = []

    def noted(function: object, tasks: list[SignTask], **options: object) -> object:
        signed.extend(task.identity for task in tasks)
        return run_items(function, tasks, **options)

    monkeypatch.setattr("nep.dedup.stage.run_items", noted)
    videos, out = tmp_path / "videos", tmp_path / "out.jsonl"
    videos.mkdir()
    for name in ("clip0", "clip1"):
        shutil.copyfile(clips[name], videos / f"{name}.mp4")
    (videos / "broken.mp4").write_text("no video")
    files = {name: f"{name}.mp4" for name in ("broken", "clip0", "clip1", "gone", "new")}

    def rows() -> dict[str, dict]:
        signed.clear()
        shard_rows = []
        for shard in (1, 2):
            sign(files, videos, shard, tmp_path, out)
            shard_rows += read_jsonl(out)
        return {row["id"]: row for row in shard_rows}

    before = rows()
    assert sorted(signed) == sorted(files)
    shutil.copyfile(clips["clip2"], videos / "new.mp4")
    after = rows()
    assert sorted(signed) == ["broken", "gone", "new"]
    assert after["new"]["signature"]
    assert {name: row for name, row in after.items() if name != "new"} == {
        name: row for name, row in before.items() if name != "new"
    }
    shutil.copyfile(clips["clip2"], videos / "clip0.mp4")
    assert rows()["clip0"]["signature"] == after["new"]["signature"]
    assert sorted(signed) == ["broken", "clip0", "gone"]


def test_a_broken_or_missing_video_has_no_signature_and_the_shard_goes_on(
    clips: dict[str, Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    videos = clips["clip0"].parent
    (videos / "broken.mp4").write_bytes(clips["clip1"].read_bytes()[:300])
    files = {**{name: path.name for name, path in clips.items()}, "broken": "broken.mp4", "gone": "gone.mp4"}
    shard_files = [tmp_path / f"{shard}-of-2.jsonl" for shard in (1, 2)]
    for shard, file in enumerate(shard_files, start=1):
        sign(files, videos, shard, tmp_path, file)
    merge_hashes(shard_files, tmp_path / "signatures.jsonl")
    rows = read_jsonl(tmp_path / "signatures.jsonl")
    assert [row["id"] for row in rows] == sorted(files)
    assert {row["id"] for row in rows if not row["signature"]} == {"broken", "gone"}
    assert "2 of 8 videos have no signature" in capfd.readouterr().err
    assert all(row["detail"] for row in rows if not row["signature"])


def test_videos_to_sign_are_those_of_records_and_of_seedbench(tmp_path: Path) -> None:
    write_rows(tmp_path / "records.jsonl", [record("a", "a.mp4")])
    seed = [seed_question("q", video_id="s", video=video) for video in ("s.mp4", None, "s.mp4")]
    write_rows(tmp_path / "seed.jsonl", seed)
    assert files_by_id(tmp_path / "records.jsonl", tmp_path / "seed.jsonl") == {"a": "a.mp4", "s": "s.mp4"}
    write_rows(tmp_path / "seed.jsonl", [seed_question("q", video="other.mp4")])
    with pytest.raises(InputError, match=r"a is 'other\.mp4', but 'a\.mp4' before"):
        files_by_id(tmp_path / "records.jsonl", tmp_path / "seed.jsonl")
