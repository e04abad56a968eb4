"""Videos made of images: each pixel, each time, each cut; what cannot be one is set aside with its reason."""

import json
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from support.readers import READERS
from support.splits import split

from nep.config.source import Source
from nep.config.vision import Vision
from nep.download.dataset import finish_download, list_source
from nep.download.frame_folders import listed_folders
from nep.download.frame_videos import frames_shard, read_rgb, write_video
from nep.encode.frames import decode_clip
from nep.files import read_json, read_jsonl
from nep.records.parse import parse_files
from nep.rows.quarantine import Rejection
from nep.split.recipe import Recipe
from nep.split.stream_copy import cut_by_copy, cut_first_by_copy
from nep.video.packets import IrregularStreamError

COUNT, WIDTH, HEIGHT = 12, 51, 37
ALL_FRAMES = Vision(frames=COUNT)


def unchanged(pixels: NDArray[np.uint8], vision: Vision, count: int) -> NDArray[np.uint8]:
    return pixels


def picture(number: int, width: int = WIDTH, height: int = HEIGHT) -> NDArray[np.uint8]:
    """Noise, of which no pixel may change, uint8 (H, W, 3)."""
    return np.random.default_rng(number).integers(0, 256, (height, width, 3), dtype=np.uint8)


def write_images(folder: Path, count: int = COUNT) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"frame_{number:06d}.png" for number in range(1, count + 1)]
    for number, file in enumerate(files):
        Image.fromarray(picture(number)).save(file)
    return files


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("frames")
    write_video(write_images(folder / "0001"), Fraction("5/2"), folder / "0001.mp4")
    return folder / "0001.mp4"


def test_the_encode_stage_reads_the_pixels_of_the_images(video: Path) -> None:
    clip = decode_clip(video, ALL_FRAMES, unchanged)
    assert np.array_equal(clip.frames, [picture(number) for number in range(COUNT)])
    assert (clip.total, clip.source_fps) == (COUNT, 2.5)
    assert clip.pts == tuple(round(number / 2.5, 6) for number in range(COUNT))


@pytest.mark.parametrize("reader", READERS)
def test_every_reader_shows_every_image_at_its_time(video: Path, reader: str) -> None:
    found = READERS[reader](video)
    assert found.count == len(found.lumas) == COUNT
    for number, luma in enumerate(found.lumas):
        wanted = picture(number) @ [0.299, 0.587, 0.114]
        assert np.abs(luma - wanted).max() <= 2, number
    if found.times is not None:
        assert found.times == pytest.approx([number / 2.5 for number in range(COUNT)], abs=1e-5)


@pytest.mark.parametrize(("time", "before"), [(2.0, 5), (2.01, 6), (0.4, 1), (4.4, 11)])
def test_a_cut_is_at_the_image_that_is_meant_and_changes_no_pixel(
    video: Path, tmp_path: Path, time: float, before: int
) -> None:
    row = split(video, time, tmp_path)
    assert (row["way"], row["encoded_frames"], row["first"]["frames"]) == ("copy", 0, before)
    for part, numbers in (("first", range(before)), ("second", range(before, COUNT))):
        if len(numbers) > 1:
            clip = decode_clip(tmp_path / row[part]["path"], Vision(frames=len(numbers) // 2 * 2), unchanged)
            shown = [picture(numbers[index]) for index in clip.indices]
            assert np.array_equal(clip.frames, shown)
    cut_first_by_copy(video, time, tmp_path / "alone.mp4", Recipe(18, "ultrafast"))
    assert (tmp_path / "alone.mp4").read_bytes() == (tmp_path / row["first"]["path"]).read_bytes()
    with pytest.raises(IrregularStreamError, match="pixel format gbrp, for browsers"):
        cut_by_copy(video, time, tmp_path / "a", tmp_path / "b", Recipe(18, "ultrafast", for_browsers=True))


def test_equal_images_are_equal_bytes(video: Path, tmp_path: Path) -> None:
    write_video(sorted(video.with_suffix("").iterdir()), Fraction("5/2"), tmp_path / "again.mp4")
    assert (tmp_path / "again.mp4").read_bytes() == video.read_bytes()


@pytest.mark.parametrize("fps", ["30000/1001", "1/2", "25", "2997/100"])
def test_frames_come_at_the_very_rate(tmp_path: Path, fps: str) -> None:
    write_video(write_images(tmp_path / "a", 4), Fraction(fps), tmp_path / "a.mp4")
    clip = decode_clip(tmp_path / "a.mp4", Vision(frames=4), unchanged)
    assert clip.source_fps == float(Fraction(fps))
    assert clip.pts == tuple(round(float(number / Fraction(fps)), 6) for number in range(4))


def saved(path: Path, pixels: NDArray[np.generic], mode: str | None = None, **how: object) -> Path:
    path.parent.mkdir(exist_ok=True)
    image = Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(path, **how)
    return path


def test_images_of_other_kinds_become_rgb_as_they_are_shown(tmp_path: Path) -> None:
    rgb = picture(0)
    grey = rgb[..., 0]
    assert np.array_equal(read_rgb(saved(tmp_path / "grey.png", grey)), np.stack([grey] * 3, axis=-1))
    deep = grey.astype(np.uint16) * 256 + 77
    assert np.array_equal(read_rgb(saved(tmp_path / "deep.png", deep)), np.stack([grey] * 3, axis=-1))
    assert np.array_equal(read_rgb(saved(tmp_path / "deep.tif", deep)), np.stack([grey] * 3, axis=-1))
    assert np.array_equal(read_rgb(saved(tmp_path / "a.webp", rgb, lossless=True)), rgb)

    clear = np.dstack([rgb, np.full(grey.shape, 255, np.uint8)])
    clear[:5, :, 3] = 0
    shown = read_rgb(saved(tmp_path / "alpha.png", clear))
    assert (shown[:5] == 255).all() and np.array_equal(shown[5:], rgb[5:])
    palette = read_rgb(saved(tmp_path / "palette.png", rgb // 64 * 64, "P", transparency=0))
    assert palette.shape == rgb.shape

    exif = Image.Exif()
    exif[0x0112] = 6
    turned = read_rgb(saved(tmp_path / "turned.png", rgb, exif=exif))
    assert np.array_equal(turned, np.rot90(rgb, -1))


@pytest.mark.parametrize(
    ("content", "says"),
    [(b"", "cannot identify"), (b"text", "cannot identify"), (None, "truncated"), ("float", "pixels of 32 bits")],
)
def test_an_image_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | str | None, says: str) -> None:
    path = tmp_path / "000007.png"
    if content == "float":
        path = saved(tmp_path / "000007.tif", np.ones((4, 4), np.float32))
    else:
        saved(path, picture(0, 400, 300))
        path.write_bytes(path.read_bytes()[:90_000] if content is None else content)
    with pytest.raises(Rejection, match=f"unreadable_image: 000007.*{says}"):
        read_rgb(path)


def source_of(folder: Path, **changes: object) -> Source:
    return Source(**{"kind": "videos", "path": str(folder), "frame_folders": {"fps": 4, "shards": 2}, **changes})


def download(source: Source, run: Path, code: str = "code") -> dict[str, dict[str, object]]:
    """The rows of all shards by id, after the whole download."""
    listing = list_source(source)
    shards = [run / f"download/frames/{number}-of-2.jsonl" for number in (1, 2)]
    for number, out in enumerate(shards, start=1):
        frames_shard(source, listed_folders(listing), 1, number, 2, run, out, code)
    finish_download(source, listing, run, shards)
    return {row["id"].split("-")[1]: row for out in shards for row in read_jsonl(out)}


def test_bad_folders_are_set_aside_and_the_others_become_records(tmp_path: Path) -> None:
    folder, run = tmp_path / "source", tmp_path / "run"
    for name in ("good", "gap", "broken", "single", "rate"):
        write_images(folder / name, 1 if name == "single" else 4)
    (folder / "gap/frame_000002.png").unlink()
    (folder / "broken/frame_000003.png").write_bytes(b"no image")
    saved(folder / "mixed/1.png", picture(0))
    saved(folder / "mixed/2.png", picture(0, WIDTH + 1))
    (folder / "rate/fps.txt").write_text("soon")
    rows = [{"video_path": name, "split_time": 0.5} for name in sorted(path.name for path in folder.iterdir())]
    listed = ["mixed/1.png", "good/frame_000004.png"]
    rows += [
        {"video_path": "listed", "split_time": 0.5, "frame_files": ["good/frame_000004.png", "good/frame_000001.png"]},
        {"video_path": "gone", "split_time": 0.5, "frame_files": [*listed, "good/none.png"]},
    ]
    (folder / "clips.json").write_text(json.dumps(rows))
    asked = {"Question": "What?", "Options": dict(zip("ABCD", "wxyz", strict=True)), "Answer": "A"}
    question = {"id": 1, "video_path": "./good/", "question_type": "hop1", "qa": asked}
    (folder / "futurebench.json").write_text(json.dumps([question, {**question, "id": 2, "video_path": "gap"}]))
    made = download(source_of(folder, kind="table", annotations="clips.json"), run)
    reasons = {name: row.get("reason") for name, row in made.items()}
    assert reasons == {
        "good": None,
        "listed": None,
        "gap": "missing_image",
        "broken": "unreadable_image",
        "single": "too_few_frames",
        "mixed": "mixed_image_sizes",
        "rate": "bad_frame_rate",
        "gone": "missing_image",
    }
    assert made["mixed"]["detail"] == "mixed: 2.png has 52 x 37 pixels, 1.png 51 x 37"
    annotations = run / "download/annotations"
    parsed = parse_files(
        annotations / "next_event_prediction.json", annotations / "futurebench.json", run / "download/videos"
    )
    assert {(record.video, record.id) for record in parsed.records} == {
        (row["path"], row["id"]) for row in made.values() if "path" in row
    }
    assert {row.id: row.reason for row in parsed.rejected if row.id in {bad["id"] for bad in made.values()}} == {
        row["id"]: row["reason"] for row in made.values() if "reason" in row
    }
    assert [(question.id, question.video_id) for question in parsed.questions] == [("1", made["good"]["id"])]
    clip = decode_clip(run / "download/videos/listed.mp4", Vision(frames=2), unchanged)
    assert np.array_equal(clip.frames, [picture(3), picture(0)])


def test_what_is_made_stays_and_a_changed_image_makes_its_video_anew(tmp_path: Path) -> None:
    folder, run = tmp_path / "source", tmp_path / "run"
    for name in ("a", "b"):
        write_images(folder / name, 3)
    (folder / "b.mp4").write_bytes(b"a video of this name")
    source = source_of(folder)
    made = download(source, run)
    assert made["b"]["reason"] == "duplicate_record" and "a file 'b.mp4'" in made["b"]["detail"]
    assert read_json(run / "download/annotations/next_event_prediction.json")[0] == {"video_path": "b.mp4"}
    (folder / "b.mp4").unlink()
    made = download(source, run)
    videos = {name: run / "download/videos" / f"{name}.mp4" for name in ("a", "b")}
    times = {name: path.stat().st_mtime_ns for name, path in videos.items()}
    assert download(source, run) == made
    assert {name: path.stat().st_mtime_ns for name, path in videos.items()} == times

    saved(folder / "b/frame_000002.png", picture(9))
    videos["a"].write_bytes(b"damaged")
    again = download(source, run)
    assert again["a"] == made["a"] and again["b"]["sha256"] != made["b"]["sha256"]
    assert np.array_equal(decode_clip(videos["b"], Vision(frames=2), unchanged).frames[-1], picture(2))
    del source
    renamed = source_of(folder, frame_folders={"fps": 5, "shards": 2})
    assert download(renamed, run)["a"]["fps"] == "5"


def test_a_listing_holds_what_its_folders_are(tmp_path: Path) -> None:
    write_images(tmp_path / "a", 2)
    listing = list_source(source_of(tmp_path))
    assert [asdict(folder) for folder in listed_folders(listing)] == listing["frame_folders"]
