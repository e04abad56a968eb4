import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nep.errors import InputError
from nep.records.parse import Parsed, parse_files, write_parsed
from nep.records.seedbench import visual_paths

Make = Callable[..., Any]


def row(**changes: Any) -> dict[str, Any]:
    values = {
        "video_source": "EpicKitchens",
        "video_id": "P01_13",
        "video_basename": "P01_13_7.mp4",
        "current_observation_basename": "P01_13_760.png",
        "task_progress_metadata": [{"narration_text": "open door"}],
        "question": "What is done next to store the milk?",
        "choice_a": "close the fridge",
        "choice_b": "pour milk",
        "choice_c": "take a cup",
        "choice_d": "open the fridge",
        "golden_choice_idx": "D",
    }
    return {key: value for key, value in {**values, **changes}.items() if value is not None}


@pytest.fixture
def parse(tmp_path: Path) -> Make:
    """Parse rows by level beside a folder that holds the visuals of `row()`, the video only where `video`."""
    videos = tmp_path / "videos"
    for name in ("images/EpicKitchens/P01_13_760.png", "videos/EpicKitchens/P01_13_7.mp4"):
        (videos / name).parent.mkdir(parents=True, exist_ok=True)
        (videos / name).write_bytes(b"x")
    (tmp_path / "none.json").write_text("[]")

    def run(levels: dict[str, list[Any]]) -> Parsed:
        files = {}
        for level, rows in levels.items():
            files[level] = tmp_path / f"seedbench_r1_{level}.json"
            files[level].write_text(json.dumps(rows))
        return parse_files(tmp_path / "none.json", None, videos, files)

    return run


def test_a_row_becomes_a_question_on_image_and_video(parse: Make) -> None:
    (question,) = parse({"l2": [row()]}).seedbench
    assert question.options == {
        "A": "close the fridge",
        "B": "pour milk",
        "C": "take a cup",
        "D": "open the fridge",
    }
    assert (question.level, question.answer, question.source) == ("l2", "D", "EpicKitchens")
    assert question.video == "videos/EpicKitchens/P01_13_7.mp4"
    assert question.image == "images/EpicKitchens/P01_13_760.png"
    assert question.whole_videos == ("epickitchens/p01_13", "epickitchens/p01_13_7")
    assert question.id.startswith("seedbench-r1-l2-P01-13-")


def test_the_video_may_be_absent(parse: Make) -> None:
    (question,) = parse({"l1": [row(video_basename="other.mp4")]}).seedbench
    assert question.video is None


def test_ids_are_unique_over_levels_and_do_not_follow_the_order(parse: Make) -> None:
    rows = [row(), row(question="Another?"), row(golden_choice_idx="A")]
    one = parse({"l1": rows, "l2": rows, "l3": rows}).seedbench
    two = parse({"l1": rows[::-1], "l2": rows, "l3": rows[::-1]}).seedbench
    assert len({question.id for question in one}) == 9
    assert {question.id for question in one} == {question.id for question in two}
    assert len({question.video_id for question in one}) == 1


@pytest.mark.parametrize(
    ("bad", "reason", "detail"),
    [
        (["no object"], "bad_question", "expected an object"),
        (row(question=None), "bad_question", "question must be a text, found None"),
        (row(choice_c=" "), "bad_question", "choice_c must be a text"),
        (row(golden_choice_idx="E"), "no_right_answer", "golden_choice_idx must be one of A, B, C, D, found 'E'"),
        (row(golden_choice_idx=3), "no_right_answer", "found 3"),
        (row(current_observation_basename="none.png"), "bad_question", "no image 'images/EpicKitchens/none.png'"),
        (row(video_basename="../../x.mp4"), "bad_question", "leaves the video folder"),
        (row(), "duplicate_question", "came before"),
    ],
)
def test_a_bad_row_is_rejected_and_the_others_stay(parse: Make, bad: Any, reason: str, detail: str) -> None:
    parsed = parse({"l1": [row(), bad]})
    assert len(parsed.seedbench) == 1
    (rejected,) = parsed.rejected
    assert (rejected.stage, rejected.reason) == ("records", reason)
    assert rejected.detail.startswith("seedbench_r1_l1.json[1]: ")
    assert detail in rejected.detail


def test_a_link_out_of_the_video_folder_is_rejected(parse: Make, tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(b"x")
    (tmp_path / "videos/images/EpicKitchens/link.png").symlink_to(tmp_path / "secret.png")
    (rejected,) = parse({"l1": [row(current_observation_basename="link.png")]}).rejected
    assert "leaves its root" in rejected.detail


def test_files_are_written_with_counts_by_level(parse: Make, tmp_path: Path) -> None:
    write_parsed(parse({"l1": [row(), row(question="Another?")], "l3": [row()]}), tmp_path / "out")
    assert len((tmp_path / "out/seedbench_r1.jsonl").read_text().splitlines()) == 3
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert manifest["seedbench_r1"] == {"l1": 2, "l3": 1}
    assert "seedbench_r1.jsonl" in manifest["files"]


def test_a_file_of_another_form_ends_the_run(tmp_path: Path) -> None:
    (tmp_path / "none.json").write_text("[]")
    (tmp_path / "l1.csv").write_text("")
    with pytest.raises(InputError, match=r"annotations are \.json or \.jsonl, found '\.csv'"):
        parse_files(tmp_path / "none.json", None, tmp_path, {"l1": tmp_path / "l1.csv"})


def test_visuals_of_a_row() -> None:
    assert list(visual_paths(row())) == ["videos/EpicKitchens/P01_13_7.mp4", "images/EpicKitchens/P01_13_760.png"]
    assert list(visual_paths(row(video_basename=None))) == ["images/EpicKitchens/P01_13_760.png"]
    assert list(visual_paths({"video_path": "x.mp4"})) == list(visual_paths("x")) == []
