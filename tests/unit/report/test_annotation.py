"""How plain videos were annotated, on the data card: figures against the files, texts of models as text."""

from pathlib import Path
from typing import Any

import pytest
from support.card_run import record_row, write_run
from support.synthetic_run import quarantine, write_lines, write_value

from nep.errors import InputError
from nep.report.annotation import Cuts, Gate, read_annotation
from nep.report.data_card import collect_card, render_card

ATTACK = "<script>alert(1)</script>"


def usage(requests: int, money: float) -> dict[str, Any]:
    counts = {"cached": 1, "retries": 2, "reasks": 3, "prompt_tokens": 4000, "completion_tokens": 50}
    return {"requests": requests, "money": money, **counts}


def event_row(number: int, boundary: str | None, moved: float, conclusion: str | None) -> dict[str, Any]:
    row = {"id": f"clip-{number:03d}", "cut": 2.0 + moved, "placed": 2.0, "boundary": boundary}
    return {**row, "conclusion": conclusion}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    root = write_run(tmp_path / "mine", [record_row(number) for number in range(4)])
    write_lines(root / "shots/shots.jsonl", [{"id": f"clip-{number:03d}"} for number in range(8)])
    write_lines(root / "shots/rejected.jsonl", [quarantine("copy", "shots", "near_duplicate_video", "looks like clip")])
    rejected = [quarantine(f"clip-00{number}", "annotate", "unsuitable", ATTACK) for number in (4, 5, 6)]
    rejected.append(quarantine("clip-007", "annotate", "cut_outside", "a cut at 9 s"))
    write_lines(root / "annotate/rejected.jsonl", rejected)
    rows = [
        event_row(0, "shot", 0.5, "right"),
        event_row(1, "shot", -0.1, "wrong"),
        event_row(2, None, 0, "right"),
        event_row(3, "shot", 0.3, None),
    ]
    write_lines(root / "annotate/events.jsonl", rows)
    write_value(root / "annotate/usage.json", {"watch": usage(8, 1.25), "plan": usage(8, 0.5)})
    return root


def test_figures_are_those_of_the_files(run: Path) -> None:
    found = read_annotation(run)
    assert (found.looked_at, found.annotated, found.judged, found.right, found.money) == (9, 4, 3, 2, 1.75)
    assert found.gates == [
        Gate("shots", "near_duplicate_video", 1, 8),
        Gate("annotate", "unsuitable", 3, 5),
        Gate("annotate", "cut_outside", 1, 4),
    ]
    assert found.gates[-1].left == found.annotated
    assert found.cuts == [Cuts("the beginning of a shot", 3, pytest.approx(0.3)), Cuts("stayed as placed", 1, 0)]


def test_the_card_shows_them_and_no_text_becomes_markup(run: Path) -> None:
    html = render_card(collect_card(run), "mine")
    assert "Models annotated 4 of 9 plain videos (44.4 %)." in html
    assert "the critique found 2 of 3 right" in html and "1.75" in html
    assert ATTACK not in html and "&lt;script&gt;alert(1)" in html


def test_a_source_with_annotations_has_no_such_section(tmp_path: Path) -> None:
    root = write_run(tmp_path / "mine", [record_row(number) for number in range(4)])
    assert read_annotation(root) is None
    assert 'id="annotation"' not in render_card(collect_card(root), "mine")


def test_a_row_that_lacks_a_key_is_named(run: Path) -> None:
    write_lines(run / "annotate/events.jsonl", [{"id": "a"}])
    with pytest.raises(InputError, match=r"events\.jsonl, row 1: no key 'cut'"):
        read_annotation(run)
