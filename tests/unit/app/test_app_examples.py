"""Which questions of a run are examples."""

from pathlib import Path

from support.rows import asked, record

from nep.app.examples import QUESTIONS, RECORDS, VIDEOS, examples_of
from nep.rows.base import write_rows

KINDS = ("hop1", "hop2", "hop3")


def write_run(root: Path, lost: tuple[int, ...] = ()) -> Path:
    """Six videos with three questions each."""
    records = [record(f"v{number}", f"{number}.mp4", already_cut=number == 5) for number in range(6)]
    questions = [asked(f"q{number}{kind}", video_id=f"v{number}", kind=kind) for number in range(6) for kind in KINDS]
    write_rows(root / RECORDS, records)
    write_rows(root / QUESTIONS, questions)
    for number in set(range(6)) - set(lost):
        (root / VIDEOS).mkdir(parents=True, exist_ok=True)
        (root / VIDEOS / f"{number}.mp4").write_bytes(b"film")
    return root


def test_each_kind_in_turn_and_each_of_another_video(tmp_path: Path) -> None:
    found = examples_of(write_run(tmp_path), 3)
    assert {example.question.kind for example in found} == set(KINDS)
    assert len({example.video for example in found}) == 3
    assert found == examples_of(tmp_path, 3)
    assert [example.cut for example in found] == [1.0] * 3


def test_what_has_no_whole_video_is_none(tmp_path: Path) -> None:
    found = examples_of(write_run(tmp_path, lost=(0, 1)), 9)
    assert sorted(example.video for example in found) == ["2.mp4", "3.mp4", "4.mp4"]


def test_a_run_without_a_benchmark_has_none(tmp_path: Path) -> None:
    assert examples_of(tmp_path, 3) == []
