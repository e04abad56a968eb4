"""The data card: its counts, its samples, and that no text of the data becomes markup."""

from pathlib import Path
from typing import Any

import pytest
from support.html_page import Page
from support.splits import split

from nep.files import write_json, write_jsonl
from nep.report.data_card import chosen, in_bins, write_data_card
from nep.video.tools import run_ffmpeg

MARKUP = "<script>alert(1)</script><img src=x onerror=alert(2)>"
SHARE = {"rate": 25.0, "ci_low": 20.0, "ci_high": 30.0, "within_bound": True}


def record(number: int, source: str, text: str) -> dict[str, Any]:
    captions = {"caption_part1": f"before {text}", "caption_part2": f"after {text}"}
    return {"id": f"{source}-{number}", "source": source, "split_time": 1.5, **captions}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Three good videos of two sources, one that is set aside, a data set and its questions."""
    source = tmp_path / "source.mp4"
    picture = "testsrc2=size=64x48:rate=10:duration=2"
    run_ffmpeg(
        ["-v", "error", "-y", "-f", "lavfi", "-i", picture, "-c:v", "libx264", "-pix_fmt", "yuv420p", str(source)]
    )
    cut = split(source, 1.5, tmp_path)
    records = [record(0, "youtube", MARKUP), record(1, "youtube", "plain"), record(2, "ego4d", "plain")]
    lost = {"id": "lost", "stage": "split", "status": "quarantined", "reason": "undecodable_video", "detail": MARKUP}
    write_jsonl(tmp_path / "records/records.jsonl", records)
    write_jsonl(tmp_path / "records/rejected.jsonl", [])
    write_jsonl(tmp_path / "split/manifest.jsonl", [*({**cut, "id": row["id"]} for row in records), lost])
    rules = {"longest": SHARE, "shortest": {**SHARE, "within_bound": False}}
    text_only = {"n": 40, "accuracy": 26.1, "ci_low": 15.0, "ci_high": 41.0, "method": "a method"}
    files = {
        "sft/next_event.json": {"rows": 2, "left_out": {"no_caption": 1}},
        "grpo/next_event_mc.jsonl": {"rows": 40, "left_out": {}, "option_bias": rules, "text_only": text_only},
    }
    write_json(tmp_path / "convert/manifest.json", {"files": files})
    return tmp_path


def test_the_card_shows_what_the_run_holds(run: Path) -> None:
    write_data_card(run, "test", run / "report/data.html")
    page = Page((run / "report/data.html").read_text(encoding="utf-8"))
    for shown in (
        *("videos 3", "sources 2", "rows in all data sets 42", "youtube 2", "ego4d 1", "up to 30 s 3", "70–80 % 3"),
        *("packets copied 3", "next_event.json 2 no caption 1", "26.1", "biased", "a method", "undecodable video 1"),
    ):
        assert shown in page.text
    assert page.tags.count("img") == 3 * 8


def test_no_text_becomes_markup(run: Path) -> None:
    write_data_card(run, MARKUP, run / "report/data.html")
    page = Page((run / "report/data.html").read_text(encoding="utf-8"))
    assert {"script", "link", "iframe"}.isdisjoint(page.tags)
    assert page.handlers == []
    assert all(reference.startswith("data:image/jpeg;base64,") for reference in page.references)
    assert page.text.count("<script>alert(1)</script>") >= 4


def test_a_bin_holds_its_upper_end() -> None:
    assert in_bins([0.5, 1, 1.5, 99], {"one": 1, "two": 2, "more": float("inf")}) == [
        ("one", 2),
        ("two", 1),
        ("more", 1),
    ]


def test_samples_come_from_the_sources_in_turn() -> None:
    records = [record(number, "youtube", "") for number in range(9)] + [record(9, "ego4d", "")]
    picked = chosen(records)
    assert len(picked) == 6
    assert [row["source"] for row in picked].count("ego4d") == 1
    assert chosen(records[::-1]) == picked
