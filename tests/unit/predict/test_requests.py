"""What a command line and a file of requests ask."""

from pathlib import Path

import pytest

from nep.errors import InputError
from nep.files import write_jsonl
from nep.predict.requests import Asked, asked_about, read_requests, seconds_of, videos_at

GIVEN = Asked(video=Path(), moment=7.5, question=None, options=("It falls.", "It stays."), variant="direct")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.mp4", "a b.MKV", "below/c.webm", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def test_videos_come_from_files_folders_and_urls_of_files(folder: Path) -> None:
    assert videos_at(str(folder / "b.mp4")) == [folder / "b.mp4"]
    assert videos_at(str(folder)) == [folder / "a b.MKV", folder / "b.mp4", folder / "below/c.webm"]
    assert videos_at((folder / "a b.MKV").as_uri()) == [folder / "a b.MKV"]
    asked = asked_about([str(folder / "b.mp4")], GIVEN)
    assert asked == [Asked(folder / "b.mp4", 7.5, None, GIVEN.options, "direct")]


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("https://a.example/v.mp4", "nothing is fetched; give a file, a folder or a URL like file:///"),
        ("file://elsewhere/v.mp4", "nothing is fetched"),
        ("missing.mp4", "no such file or folder"),
    ],
)
def test_other_places_are_refused(place: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        videos_at(place)


def test_a_folder_without_videos_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no video below it \(.3gp"):
        videos_at(str(tmp_path))


def test_moments_are_seconds_or_clock_times() -> None:
    assert [seconds_of(text, "--at") for text in ("7.5", "1:02.5", "1:00:01", 3)] == [7.5, 62.5, 3601.0, 3.0]
    with pytest.raises(InputError, match="--at: 'soon' is not seconds"):
        seconds_of("soon", "--at")


def test_a_line_of_requests_takes_from_the_command_what_it_leaves_out(folder: Path) -> None:
    file = folder / "asked.jsonl"
    rows = [{"video": "b.mp4"}, {"video": "below/c.webm", "at": "0:02", "options": ["x", "y"], "variant": "reason"}]
    write_jsonl(file, rows)
    assert read_requests(file, None, GIVEN) == [
        Asked(folder / "b.mp4", 7.5, None, GIVEN.options, "direct"),
        Asked(folder / "below/c.webm", 2.0, None, ("x", "y"), "reason"),
    ]
    write_jsonl(file, [{"video": str(folder / "b.mp4")}])
    assert [asked.video for asked in read_requests(file, Path("/"), GIVEN)] == [folder / "b.mp4"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"video": "../b.mp4"}, "leaves its root"),
        ({"video": "b.mp4", "at": "x"}, "row 1, at: 'x' is not seconds"),
        ({"video": "b.mp4", "option": []}, "row 1: option: "),
    ],
)
def test_a_line_that_does_not_fit_is_named(folder: Path, row: dict, message: str) -> None:
    write_jsonl(folder / "asked.jsonl", [row])
    with pytest.raises(InputError, match=message):
        read_requests(folder / "asked.jsonl", None, GIVEN)


def test_a_file_without_requests_is_named(tmp_path: Path) -> None:
    (tmp_path / "asked.jsonl").touch()
    with pytest.raises(InputError, match="no request; a line is like"):
        read_requests(tmp_path / "asked.jsonl", None, GIVEN)
