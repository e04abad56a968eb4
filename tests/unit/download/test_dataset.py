import io
import json
import tarfile
from pathlib import Path

import pytest
from support.entry_points import run_script

from nep.config.source import Source
from nep.download.dataset import drop_archive, fetch_archive, finish_download, list_source
from nep.download.place import folder_state
from nep.errors import InputError
from nep.files import write_json


def add_archive(folder: Path, name: str, members: dict[str, bytes]) -> None:
    with tarfile.open(folder / name, "w:gz") as tar:
        for path, content in members.items():
            entry = tarfile.TarInfo(path)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    add_archive(folder, "video_data_part1.tar.gz", {"video_dataset/b.mp4": b"bb"})
    add_archive(folder, "video_data_part0.tar.gz", {"video_dataset/a.mp4": b"a"})
    add_archive(folder, "first_segment_video_data_part0.tar.gz", {"first_part_video/c.mp4": b"c"})
    (folder / "next_event_prediction.json").write_text("[]")
    (folder / "futurebench.json").write_text("[ ]")
    return folder


def source_of(folder: Path, **changes: object) -> Source:
    return Source(kind="folder", path=str(folder), **changes)


def download(source: Source, run: Path) -> dict:
    listing = list_source(source)
    for row in listing["archives"]:
        manifest = fetch_archive(source, listing, row["name"], run)
        write_json(run / "download/archives" / f"{row['name']}.json", manifest)
        drop_archive(source, row["name"], run)
    return finish_download(source, listing, run)


def test_whole_download_from_a_folder(folder: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    summary = download(source_of(folder), run)
    assert sorted(summary["archives"]) == ["video_data_part0.tar.gz", "video_data_part1.tar.gz"]
    assert (summary["videos"]["count"], summary["videos"]["bytes"]) == (2, 3)
    assert (run / "download/videos/video_dataset/b.mp4").read_bytes() == b"bb"
    assert (run / "download/annotations/futurebench.json").read_text() == "[ ]"
    assert not list((run / "download/archives").glob("*.tar.gz")), "a local archive is read in place"
    assert download(source_of(folder, keep_archives=False), run) == summary
    assert (folder / "video_data_part0.tar.gz").is_file(), "the user's own archive is never removed"


def test_listing_is_sorted_and_follows_patterns_and_content(folder: Path) -> None:
    listing = list_source(source_of(folder))
    assert [row["name"] for row in listing["archives"]] == ["video_data_part0.tar.gz", "video_data_part1.tar.gz"]
    both = list_source(source_of(folder, archives=["*video_data_part0.tar.gz", "first_segment_*"]))
    assert [row["name"] for row in both["archives"]] == [
        "first_segment_video_data_part0.tar.gz",
        "video_data_part0.tar.gz",
    ]
    add_archive(folder, "video_data_part0.tar.gz", {"video_dataset/a.mp4": b"A"})
    assert list_source(source_of(folder))["archives"] != listing["archives"]


def test_annotation_files_may_have_other_names(folder: Path, tmp_path: Path) -> None:
    (folder / "mine.json").write_text("[1]")
    download(source_of(folder, annotations="mine.json"), tmp_path / "run")
    assert (tmp_path / "run/download/annotations/next_event_prediction.json").read_text() == "[1]"


def test_no_matching_archive_names_patterns_and_what_is_there(folder: Path) -> None:
    with pytest.raises(
        InputError, match=r"no archive matches clips\*\.tar; it holds first_segment_.*futurebench\.json"
    ):
        list_source(source_of(folder, archives=["clips*.tar"]))


@pytest.mark.parametrize("missing", ["next_event_prediction.json", "futurebench.json"])
def test_missing_annotation_file_is_named(folder: Path, missing: str) -> None:
    (folder / missing).unlink()
    with pytest.raises(InputError, match=f"no file '{missing}'"):
        list_source(source_of(folder))


def test_missing_folder_and_escaping_names(folder: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        list_source(source_of(folder / "nowhere"))
    for name in ("../source/futurebench.json", str(folder / "futurebench.json")):
        with pytest.raises(InputError, match="leaves its root"):
            list_source(source_of(folder, questions=name))


def test_archive_changed_or_gone_after_the_listing(folder: Path, tmp_path: Path) -> None:
    source = source_of(folder)
    listing = list_source(source)
    archive = folder / "video_data_part0.tar.gz"
    content = bytearray(archive.read_bytes())
    content[-1] ^= 1
    archive.write_bytes(content)
    with pytest.raises(InputError, match=r"part0\.tar\.gz: checksum mismatch: expected sha256 [0-9a-f]{64}, found"):
        fetch_archive(source, listing, "video_data_part0.tar.gz", tmp_path / "run")
    archive.write_bytes(content[:-9])
    with pytest.raises(InputError, match="truncated or changed"):
        fetch_archive(source, listing, "video_data_part0.tar.gz", tmp_path / "run")
    archive.unlink()
    with pytest.raises(InputError, match="is gone"):
        fetch_archive(source, listing, "video_data_part0.tar.gz", tmp_path / "run")
    with pytest.raises(InputError, match=r"'other\.tar' is not in the listing: video_data_part0"):
        fetch_archive(source, listing, "other.tar", tmp_path / "run")


def test_two_archives_with_one_path(folder: Path, tmp_path: Path) -> None:
    add_archive(folder, "video_data_part2.tar.gz", {"video_dataset/a.mp4": b"a"})
    assert download(source_of(folder), tmp_path / "run")["videos"]["count"] == 2, "equal content is one video"
    add_archive(folder, "video_data_part2.tar.gz", {"video_dataset/a.mp4": b"X"})
    message = r"video_data_part0\.tar\.gz and video_data_part2\.tar\.gz hold different content .*'video_dataset/a\.mp4'"
    with pytest.raises(InputError, match=message):
        download(source_of(folder), tmp_path / "run")


def test_videos_of_archives_no_longer_listed_are_removed(folder: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    download(source_of(folder), run)
    download(source_of(folder, archives=["video_data_part0.tar.gz"]), run)
    assert [path.name for path in (run / "download/videos").rglob("*.mp4")] == ["a.mp4"]


def test_lost_video_is_named(folder: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    source = source_of(folder)
    download(source, run)
    (run / "download/videos/video_dataset/a.mp4").unlink()
    with pytest.raises(InputError, match=r"video_dataset/a\.mp4: extracted with 1 bytes, but it is gone"):
        finish_download(source, list_source(source), run)


def test_entry_points(folder: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    listing, manifest, videos = (run / f"download/{name}.json" for name in ("archives", "manifest", "videos"))
    source = source_of(folder).model_dump_json()
    steps = [run_script("list_source.py", "--source", source, "--out", listing)]
    for name in ("video_data_part0.tar.gz", "video_data_part1.tar.gz"):
        out = run / f"download/archives/{name}.json"
        common = ("--source", source, "--listing", listing, "--run-dir", run)
        steps.append(run_script("fetch_archive.py", *common, "--name", name, "--out", out))
    steps.append(run_script("finish_download.py", *common, "--out", manifest, "--videos", videos))
    assert [(step.returncode, step.stderr) for step in steps] == [(0, "")] * 4
    assert json.loads(manifest.read_text())["videos"] == json.loads(videos.read_text())
    assert json.loads(videos.read_text())["count"] == 2
    assert str(tmp_path) not in manifest.read_text() + listing.read_text()

    (folder / "futurebench.json").unlink()
    listing.unlink()
    failed = run_script("list_source.py", "--source", source, "--out", listing)
    assert failed.returncode == 2 and failed.stderr.startswith("error: ") and failed.stderr.count("\n") == 1
    assert not listing.exists()


def test_seedbench_levels_are_brought_as_json_lists(folder: Path, tmp_path: Path) -> None:
    (folder / "L1.jsonl").write_text('{"a": 1}\n{"a": 2}\n')
    (folder / "L3.json").write_text('[{"a": 3}]')
    source = source_of(folder, seedbench_r1={"l1": "L1.jsonl", "l3": "L3.json"})
    download(source, tmp_path / "run")
    annotations = tmp_path / "run/download/annotations"
    assert json.loads((annotations / "seedbench_r1_l1.json").read_text()) == [{"a": 1}, {"a": 2}]
    assert json.loads((annotations / "seedbench_r1_l3.json").read_text()) == [{"a": 3}]
    assert not (annotations / "seedbench_r1_l2.json").exists()
    with pytest.raises(InputError, match=r"no file 'L2\.json'"):
        list_source(source_of(folder, seedbench_r1={"l2": "L2.json"}))


def test_a_tables_seedbench_visuals_are_linked(tmp_path: Path) -> None:
    folder = tmp_path / "table"
    for name in ("clip.mp4", "videos/Ego4D/v.mp4", "images/Ego4D/i.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    (folder / "clips.csv").write_text("video_path,split_time\nclip.mp4,1\n")
    seed = {"video_source": "Ego4D", "video_basename": "v.mp4", "current_observation_basename": "i.png"}
    (folder / "l1.json").write_text(json.dumps([seed, "no object"]))
    source = Source(
        kind="table", path=str(folder), annotations="clips.csv", questions=None, seedbench_r1={"l1": "l1.json"}
    )
    summary = download(source, tmp_path / "run")
    assert summary["videos"]["count"] == 3
    assert (tmp_path / "run/download/videos/images/Ego4D/i.png").read_bytes() == b"images/Ego4D/i.png"


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """A folder of plain videos, with a file that is none and a hidden one."""
    folder = tmp_path / "plain"
    for name in ("b.MP4", "kitchen/a.webm", "notes.txt", ".hidden/c.mp4"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    return folder


def test_plain_videos_are_linked_and_listed_without_annotations(plain: Path, tmp_path: Path) -> None:
    source, run = Source(kind="videos", path=str(plain)), tmp_path / "run"
    assert source.questions is None
    summary = download(source, run)
    annotations = json.loads((run / "download/annotations/next_event_prediction.json").read_text())
    assert annotations == [{"video_path": "b.MP4"}, {"video_path": "kitchen/a.webm"}]
    assert (run / "download/annotations/futurebench.json").read_text().strip() == "[]"
    assert summary["archives"] == {} and summary["videos"]["count"] == 2
    assert (run / "download/videos/kitchen/a.webm").samefile(plain / "kitchen/a.webm")
    (plain / "b.MP4").unlink()
    assert download(source, run)["videos"]["count"] == 1
    assert not (run / "download/videos/b.MP4").exists()


def test_a_folder_without_videos_is_named_with_what_it_holds(plain: Path) -> None:
    (plain / "b.MP4").unlink()
    (plain / "kitchen/a.webm").unlink()
    with pytest.raises(InputError, match=r"no video \(.*\.webm.*\) below it; it holds notes\.txt"):
        list_source(Source(kind="videos", path=str(plain)))


def test_a_folders_state_changes_with_its_files(plain: Path) -> None:
    before = folder_state(plain)
    assert folder_state(plain) == before
    (plain / "b.MP4").write_bytes(b"longer than before")
    changed = folder_state(plain)
    (plain / "new.mp4").touch()
    assert len({before, changed, folder_state(plain)}) == 3
    assert folder_state(plain / "nowhere") == folder_state(plain / "nowhere either")
