"""The demo's data set: in V1-33K's layout, the same bytes each time, read without loss by the records room."""

import tarfile
from pathlib import Path

import av
import pytest
from av.video.frame import PictureType

from nep.config.demo_videos import DemoVideos
from nep.data.prompts import load_prompts
from nep.demo.hub_layout import write_demo_hub
from nep.files import read_json, sha256_of_file
from nep.records.parse import parse_files

ROOT = Path(__file__).resolve().parents[3]
SPEC = DemoVideos(train=3, test=2, archives=2, size=84, processes=1)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "hub"
    write_demo_hub(SPEC, load_prompts(ROOT / "config/prompts.yaml"), 7, folder)
    return folder


def test_same_seed_same_bytes_other_seed_other_videos(hub: Path, tmp_path: Path) -> None:
    prompts = load_prompts(ROOT / "config/prompts.yaml")
    write_demo_hub(SPEC, prompts, 7, tmp_path / "again")
    write_demo_hub(SPEC, prompts, 8, tmp_path / "other")
    hashes = [
        {path.name: sha256_of_file(path) for path in sorted(folder.iterdir())}
        for folder in (hub, tmp_path / "again", tmp_path / "other")
    ]
    assert hashes[0] == hashes[1]
    assert all(hashes[0][name] != hashes[2][name] for name in hashes[0])


def test_videos_are_h264_with_b_frames_and_gops_of_seconds(hub: Path, tmp_path: Path) -> None:
    with tarfile.open(hub / "video_data_part0.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    videos = sorted(tmp_path.rglob("*.mp4"))
    assert videos
    for path in videos:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            frames = list(container.decode(stream))
        assert stream.codec_context.name == "h264"
        assert any(frame.pict_type == PictureType.B for frame in frames)
        assert sum(frame.key_frame for frame in frames) < len(frames) / 10
        assert 3 <= len(frames) / SPEC.fps <= 10


def test_records_room_reads_every_record_and_question(hub: Path, tmp_path: Path) -> None:
    for part in range(SPEC.archives):
        with tarfile.open(hub / f"video_data_part{part}.tar.gz") as archive:
            archive.extractall(tmp_path / "videos", filter="data")
    parsed = parse_files(
        annotations=hub / "next_event_prediction.json", questions=hub / "futurebench.json", videos=tmp_path / "videos"
    )
    annotations = read_json(hub / "next_event_prediction.json")
    assert len(parsed.records) == len(annotations) == SPEC.train + SPEC.test
    assert len(parsed.questions) == SPEC.test * SPEC.questions_per_video
    assert not parsed.rejected
    # Written with the future known: where a prediction is right, it says the same.
    right = [record for record in parsed.records if record.conclusion == "right"]
    assert right and all(record.hindsight == record.reasoning for record in right)
    assert all(f"{record.hindsight}." == record.caption_part2 for record in parsed.records)
    trained = {entry["video_path"] for entry in annotations[: SPEC.train]}
    assert trained.isdisjoint(item["video_path"] for item in read_json(hub / "futurebench.json"))
