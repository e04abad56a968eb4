"""Control videos hold the source's frames in another order at the source's time stamps, and are the same each time."""

import os
import random
import subprocess
import sys
import tempfile
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from nep.download.frame_videos import write_video
from nep.errors import InputError
from nep.evaluate.controls import make_controls, rewrite_video
from nep.files import read_json, sha256_of_file

REPO = Path(__file__).resolve().parents[3]
SCRIPTS = REPO / "scripts"


def decode(path: Path) -> tuple[list[float], np.ndarray]:
    """Time stamps in seconds and the mean grey level of each frame."""
    with av.open(str(path)) as container:
        frames = [(frame.time, frame.to_ndarray(format="gray").mean()) for frame in container.decode(video=0)]
    times, levels = zip(*frames, strict=True)
    return list(times), np.array(levels)


def make(run_dir: Path, control: str, seed: int = 3) -> dict:
    out = run_dir / "evaluate/controls" / f"{control}.json"
    make_controls(run_dir / "convert/futurebench.jsonl", control, seed, run_dir, 2, out)
    return read_json(out)


def test_shuffled_frames_are_the_same_frames_in_another_order(run_dir: Path):
    manifest = make(run_dir, "shuffled_frames")

    assert sorted(manifest) == ["v0", "v1"]
    for video_id, row in manifest.items():
        assert row["path"] == f"evaluate/controls/shuffled_frames/{video_id}.mp4"
        assert row["sha256"] == sha256_of_file(run_dir / row["path"])
        times, levels = decode(run_dir / row["path"])
        source_times, source_levels = decode(run_dir / f"segments/first/{video_id}.mp4")
        assert times == pytest.approx(source_times, abs=1e-3)
        # Neighbouring frames differ by 6 levels, so sorting matches each frame with its own source.
        assert np.sort(levels) == pytest.approx(source_levels, abs=1.5)
        assert np.abs(levels - source_levels).max() > 5


def test_constant_frame_holds_one_frame_of_the_clip(run_dir: Path):
    for video_id, row in make(run_dir, "constant_frame").items():
        times, levels = decode(run_dir / row["path"])
        source_times, source_levels = decode(run_dir / f"segments/first/{video_id}.mp4")
        assert times == pytest.approx(source_times, abs=1e-3)
        assert np.ptp(levels) < 1
        assert np.abs(source_levels - levels[0]).min() < 1.5


def test_the_seed_decides_the_bytes(run_dir: Path):
    first = make(run_dir, "shuffled_frames", seed=3)
    for file in (run_dir / "work/controls").rglob("*.json"):
        file.unlink()
    assert make(run_dir, "shuffled_frames", seed=3) == first
    assert make(run_dir, "shuffled_frames", seed=4) != first


def test_an_interrupted_run_keeps_what_is_intact_and_remakes_the_rest(run_dir: Path):
    manifest = make(run_dir, "shuffled_frames")
    kept, damaged = (run_dir / manifest[video_id]["path"] for video_id in ("v0", "v1"))
    before = kept.stat().st_mtime_ns
    damaged.write_bytes(b"cut off")

    assert make(run_dir, "shuffled_frames") == manifest
    assert kept.stat().st_mtime_ns == before
    assert sha256_of_file(damaged) == manifest["v1"]["sha256"]


def test_an_unreadable_video_is_named_and_no_manifest_is_written(run_dir: Path):
    (run_dir / "segments/first/v1.mp4").write_bytes(b"not a video")
    with pytest.raises(InputError, match=r"v1\.mp4.*shuffled_frames"):
        make(run_dir, "shuffled_frames")
    assert not (run_dir / "evaluate/controls/shuffled_frames.json").exists()


REWRITE = """
import random, sys, tempfile
from pathlib import Path
from nep.evaluate.controls import rewrite_video
with tempfile.TemporaryFile() as frames:
    rewrite_video(Path(sys.argv[1]), Path(sys.argv[2]), frames, "shuffled_frames", random.Random("1/x"))
"""


def test_a_real_clip_does_not_depend_on_what_memory_held_before(mini: Path, tmp_path: Path):
    """x264's macroblock tree reads memory that it has not written; glibc fills it with another byte in each process."""
    source = mini / "youcook2/fry carrots.avi"
    digests = set()
    for filling in ("17", "85", "200"):
        environment = {**os.environ, "MALLOC_PERTURB_": filling, "PYTHONPATH": str(SCRIPTS)}
        target = tmp_path / f"{filling}.mp4"
        subprocess.run([sys.executable, "-c", REWRITE, source, target], env=environment, check=True)
        digests.add(sha256_of_file(target))
    assert len(digests) == 1


def test_a_video_made_of_images_of_odd_size_keeps_its_colours(tmp_path: Path) -> None:
    images = [tmp_path / f"{number}.png" for number in range(4)]
    for image in images:
        Image.new("RGB", (65, 49), (200, 40, 90)).save(image)
    write_video(images, Fraction(5, 2), tmp_path / "images.mp4")
    with tempfile.TemporaryFile() as spool:
        rewrite_video(tmp_path / "images.mp4", tmp_path / "control.mp4", spool, "shuffled_frames", random.Random(1))
    with av.open(str(tmp_path / "control.mp4")) as container:
        frames = [(frame.time, frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]
    assert [time for time, _ in frames] == pytest.approx([0, 0.4, 0.8, 1.2], abs=1e-3)
    for _, pixels in frames:
        assert pixels.shape == (48, 64, 3)
        assert pixels.mean(axis=(0, 1)) == pytest.approx((200, 40, 90), abs=3)
