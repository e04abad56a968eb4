"""Clones without the real clips say so, and test on generated ones that have the same names, splits and forms."""

from pathlib import Path

import pytest

import mini_clips
from mini_clips import ANNOTATIONS, CLIPS, QUESTIONS, extract, mini_folder
from nep.records.parse import parse_files
from nep.video.probe import probe


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clone with nothing beside it."""
    monkeypatch.setattr(mini_clips, "REAL", tmp_path / "shared/v1_mini")
    monkeypatch.setattr(mini_clips, "GENERATED", tmp_path / "generated")
    return tmp_path


def test_a_clone_elsewhere_says_so_and_generates_clips_that_can_be_cut(elsewhere: Path) -> None:
    with pytest.warns(UserWarning, match=r"shared/v1_mini is not there: generated clips take the place"):
        videos = extract(elsewhere)
    for clip in CLIPS:
        described = probe(videos / clip.name)
        times = [float((pts - described.pts[0]) * described.time_base) for pts in described.pts]
        assert times[1] < clip.split_s < times[-1], clip.name
        assert clip.size == f"{described.width}x{described.height}"
    assert sorted(path.name for path in elsewhere.iterdir()) == ["generated", "video_dataset"]
    parsed = parse_files(mini_folder() / ANNOTATIONS, mini_folder() / QUESTIONS, elsewhere)
    assert parsed.rejected == [] and len(parsed.questions) == len(CLIPS)
    assert {row.video: row.split_time for row in parsed.records} == {clip.path: clip.split_s for clip in CLIPS}


def test_the_real_clips_have_the_names_of_the_generated_ones(mini: Path) -> None:
    assert {str(path.relative_to(mini)) for path in mini.rglob("*") if path.is_file()} == {clip.name for clip in CLIPS}
    assert mini_folder().is_dir()
