"""Which folders of images are videos, in which order their images are shown, and how fast."""

from pathlib import Path

import pytest

from nep.config.source import Source
from nep.download.dataset import frame_folders, list_source
from nep.download.frame_folders import FrameFolder, images_of, ordered, rate_of
from nep.download.place import FolderPlace
from nep.errors import InputError
from nep.rows.quarantine import Rejection


def touched(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


@pytest.mark.parametrize(
    "names",
    [
        ["9.jpg", "10.jpg", "11.jpg"],
        ["frame_000008.png", "frame_000009.png", "frame_000010.JPG"],
        ["0.webp", "15.webp", "30.webp"],
        ["take2_9_left.bmp", "take2_10_left.bmp"],
        ["7.tif"],
    ],
)
def test_images_are_shown_by_number(names: list[str]) -> None:
    assert ordered(reversed(names)) == names


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (["1.jpg", "2.jpg", "4.jpg", "5.jpg"], r"missing_image: no image between '2\.jpg' and '4\.jpg', .* 1 apart"),
        (["1.jpg", "first.jpg"], r"unordered_images: 'first\.jpg' has no number; number the images .*frame_files"),
        (["1.jpg", "2.jpg", "poster3.jpg"], r"unordered_images: '1\.jpg' and 'poster3\.jpg' are not numbered alike"),
        (["1.jpg", "01.jpg"], r"unordered_images: '01\.jpg' and '1\.jpg' have one number"),
        (["12.250.jpg", "12.500.jpg", "13.000.jpg"], r"unordered_images: .* not numbered alike"),
    ],
)
def test_an_order_that_is_not_certain_is_refused(names: list[str], says: str) -> None:
    with pytest.raises(Rejection, match=says):
        ordered(names)


def test_folders_with_images_and_without_videos_are_videos(tmp_path: Path) -> None:
    touched(tmp_path, "a.mp4", "kitchen/0001/1.jpg", "kitchen/0001/2.jpg", "kitchen/0001/notes.txt", "films/b.mov")
    touched(tmp_path, "films/poster.jpg", "kitchen/.cache/1.jpg", "kitchen/0001/.3.jpg")
    source = Source(kind="videos", path=str(tmp_path), frame_folders={"fps": 2})
    listing = list_source(source)
    assert listing["annotations"] == ["a.mp4", "films/b.mov"]
    assert listing["frame_folders"] == [{"path": "kitchen/0001", "images": None, "fps": None}]
    (folder,) = frame_folders(source, FolderPlace(tmp_path))
    assert (folder.video, folder.identity) == ("kitchen/0001.mp4", "unknown-0001-eefc1ce3")
    assert images_of(tmp_path, folder) == ["kitchen/0001/1.jpg", "kitchen/0001/2.jpg"]
    assert list_source(source.model_copy(update={"frame_folders": None}))["frame_folders"] == []


def test_where_there_are_only_images_the_key_is_named(tmp_path: Path) -> None:
    touched(tmp_path, "a/1.jpg")
    source = Source(kind="videos", path=str(tmp_path))
    with pytest.raises(InputError, match=r"no video .*; source\.frame_folders takes folders of images as videos"):
        list_source(source)
    touched(tmp_path, "1.jpg")
    with pytest.raises(InputError, match=r"right in the source's folder; put those of each video into a folder"):
        list_source(Source(kind="videos", path=str(tmp_path), frame_folders={"fps": 2}))


def test_a_table_names_folders_and_lists_images(tmp_path: Path) -> None:
    touched(tmp_path, "a/1.jpg", "a/2.jpg", "b.mp4", "c/1.jpg")
    (tmp_path / "clips.csv").write_text(
        "video_path,split_time,frame_files,frame_rate\n"
        "a,1,,29.97\n"
        "b.mp4,1,,\n"
        './d/,1,"[""c/1.jpg"", ""a/1.jpg""]",\n'
        "a/,1,,5\n"
        "../c,1,,\n"
        "gone,1,,\n"
    )
    source = Source(kind="table", path=str(tmp_path), annotations="clips.csv", questions=None, frame_folders={"fps": 2})
    listed = list_source(source)["frame_folders"]
    assert listed == [
        {"path": "a", "images": None, "fps": "29.97"},
        {"path": "d", "images": ["c/1.jpg", "a/1.jpg"], "fps": None},
    ]
    assert images_of(tmp_path, FrameFolder(**listed[1])) == ["c/1.jpg", "a/1.jpg"]


@pytest.mark.parametrize("images", ["a/1.jpg", ["../secret.jpg"], ["/etc/hosts"], [3]])
def test_a_list_of_images_stays_below_the_source(tmp_path: Path, images: object) -> None:
    with pytest.raises(Rejection, match="bad_record"):
        images_of(tmp_path, FrameFolder("a", images))


def test_the_rate_is_the_rows_then_the_folders_then_the_configurations(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    assert rate_of(tmp_path, FrameFolder("a"), 2.5) == "5/2"
    (tmp_path / "a/fps.txt").write_text("30000/1001\n")
    assert rate_of(tmp_path, FrameFolder("a"), 2.5) == "30000/1001"
    assert rate_of(tmp_path, FrameFolder("a", fps="0.5"), 2.5) == "1/2"


@pytest.mark.parametrize("fps", ["fast", "", "0", "-2", "1/0", "nan", "1e400", "0.1234567891"])
def test_what_is_no_rate_sets_its_folder_aside(tmp_path: Path, fps: str) -> None:
    with pytest.raises(Rejection, match=r"bad_frame_rate: frame_rate: .* is no frame rate.*30000/1001"):
        rate_of(tmp_path, FrameFolder("a", fps=fps), 2)
    with pytest.raises(ValueError, match="no frame rate"):
        Source(kind="videos", path="data", frame_folders={"fps": fps})


def test_only_plain_files_are_frame_folders() -> None:
    with pytest.raises(ValueError, match="'frame_folders' belongs to kinds 'table' and 'videos', not 'folder'"):
        Source(kind="folder", path="data", frame_folders={"fps": 2})
