"""Questions that cannot be evaluated are refused with one message that names what is wrong."""

from pathlib import Path

import pytest
from support.evaluation_run import question
from support.rows import OPTIONS

from nep.errors import InputError
from nep.evaluate.questions import control_paths, first_part_paths, read_questions
from nep.files import write_json, write_jsonl
from nep.rows.base import write_rows


def test_rows_are_sorted_and_limited(tmp_path: Path):
    path = tmp_path / "futurebench.jsonl"
    write_rows(path, [question(2), question(0), question(1)])
    assert [row.id for row in read_questions(path, None)] == ["q0", "q1", "q2"]
    assert [row.id for row in read_questions(path, 2)] == ["q0", "q1"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ([], "no questions"),
        ([{}, {}], "'q0'.*twice"),
        ([{}, {"kind": "hop5"}], "row 2: kind.*'interpolation'.*'hop5'"),
        ([{"options": {"A": "x", "B": "y"}}], "row 1: options.*4 items"),
        ([{"options": {**OPTIONS, "E": "z"}}], "row 1: options.*'A', 'B', 'C' or 'D'"),
        ([{"answer": "E"}], "row 1: answer.*'E'"),
    ],
)
def test_bad_rows_are_named(tmp_path: Path, changes: list[dict], message: str):
    path = tmp_path / "futurebench.jsonl"
    write_jsonl(path, [{**question(0).to_json(), **change} for change in changes])
    with pytest.raises(InputError, match=f"(?s)futurebench.jsonl.*{message}"):
        read_questions(path, None)


def test_videos_are_found_below_the_run(run_dir: Path):
    paths = first_part_paths([question(0), question(1), question(2)], run_dir)
    assert paths == {video_id: run_dir / f"segments/first/{video_id}.mp4" for video_id in ("v0", "v1")}


@pytest.mark.parametrize(
    ("video", "message"), [("segments/first/none.mp4", "'v0'.*none.mp4"), ("../other.mp4", "leaves its root")]
)
def test_a_missing_video_or_one_outside_the_run_is_refused(run_dir: Path, video: str, message: str):
    with pytest.raises(InputError, match=message):
        first_part_paths([question(0, video=video)], run_dir)


def test_a_control_manifest_without_the_video_is_refused(run_dir: Path):
    manifest = run_dir / "evaluate/controls/constant_frame.json"
    write_json(manifest, {"v0": {"path": "segments/first/v0.mp4", "sha256": ""}})
    assert control_paths([question(0)], run_dir, manifest) == {"v0": run_dir / "segments/first/v0.mp4"}
    with pytest.raises(InputError, match="no control video for 'v1'"):
        control_paths([question(0), question(2)], run_dir, manifest)
