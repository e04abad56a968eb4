"""The data card: every figure against the files it comes from, the page safe, self-contained, without training."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.card_run import MANIFEST, record_row, write_run
from support.html_page import Page, runs_one_known_script
from support.synthetic_run import COLOURS, encoded_shard, quarantine, write_clip, write_lines, write_value

from nep.errors import InputError
from nep.report import data_card
from nep.report.data_card import (
    LENGTH_NAMES,
    MOST_SOURCES,
    SAMPLES,
    Rate,
    choice_rows,
    collect_card,
    encoded_histogram,
    lengths_of,
    position_histogram,
    render_card,
    select_samples,
    set_aside,
    set_rows,
    source_rows,
    text_rows,
    way_rows,
    why_counts,
)
from nep.report.histogram import category_histogram, count_histogram, share_histogram
from nep.rows.record import Record

ROOT = Path(__file__).parents[3]
ATTACKS = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</style><svg onload=alert(1)>",
    "{{ 7 * 7 }}{% raw %}",
]


def change_cuts(root: Path, *changes: dict[str, Any]) -> None:
    """Change the manifest rows of the first cut videos."""
    path = root / "split" / "manifest.jsonl"
    lost, *cuts = [json.loads(line) for line in path.read_text().splitlines()]
    for row, change in zip(cuts, changes, strict=False):
        row |= change
    write_lines(path, [lost, *cuts])


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_run(tmp_path / "mine", [record_row(number) for number in range(8)])


def test_lengths_fall_into_classes_whose_bounds_belong_to_the_longer() -> None:
    durations = [0.1, 29.999, 30.0, 59.9, 60.0, 119.9, 120.0, 179.9, 180.0, 7200.0]
    assert dict(zip(LENGTH_NAMES, lengths_of(durations), strict=True)) == dict.fromkeys(LENGTH_NAMES, 2)


def test_sources_count_records_cut_videos_and_seconds(run: Path) -> None:
    change_cuts(run, {"duration": 45.0}, {"duration": 200.0})
    rows = source_rows(collect_card(run))
    assert [(row.source, row.records, row.cuts) for row in rows] == [
        ("source0", 3, 2),
        ("source1", 3, 3),
        ("source2", 2, 2),
    ]
    assert rows[1].lengths == [2, 1, 0, 0, 0]
    assert rows[2].lengths == [1, 0, 0, 0, 1]
    assert [row.seconds for row in rows] == [8.0, 53.0, 204.0]


def test_many_sources_end_in_one_row(tmp_path: Path) -> None:
    records = [record_row(number, source=f"s{number:03d}") for number in range(MOST_SOURCES + 3)]
    rows = source_rows(collect_card(write_run(tmp_path, records)))
    assert len(rows) == MOST_SOURCES + 1
    assert (rows[-1].source, rows[-1].records) == ("3 other sources", 3)
    assert sum(row.cuts for row in rows) == len(records) - 1


def test_positions_are_split_times_by_lengths(run: Path) -> None:
    histogram = position_histogram(collect_card(run))
    expected = Counter(int((0.5 + number % 4) / 4.0 * 20) for number in range(1, 8))
    assert [bar.count for bar in histogram.bars] == [expected[place] for place in range(20)]
    assert histogram.bars[2].label == "10–15 %"


def test_histograms_lose_no_value() -> None:
    rng = np.random.default_rng(0)
    shares = [*rng.random(500), 0.0, 1.0, 1.2]
    assert sum(bar.count for bar in share_histogram("t", "n", shares).bars) == len(shares)
    for values in ([0], [1], [3, 3, 4], [20], rng.integers(0, 57, 300).tolist(), [*range(200), 90_000]):
        histogram = count_histogram("t", "n", values, "words")
        assert sum(bar.count for bar in histogram.bars) == len(values)
        assert len(histogram.bars) <= 21
        assert all(bar.y >= 0 and bar.height >= 0 for bar in histogram.bars)
    assert histogram.bars[-1].label.endswith("or more")


def test_bars_stand_for_their_counts() -> None:
    histogram = count_histogram("t", "n", [2, 2, 2, 2, 5, 5, 7], "words")
    named = {bar.label: bar for bar in histogram.bars}
    assert {label: bar.count for label, bar in named.items() if bar.count} == {"2": 4, "5": 2, "7": 1}
    assert named["2"].height == pytest.approx(2 * named["5"].height) == pytest.approx(4 * named["7"].height)


def test_labels_of_large_counts_fit_left_of_the_axis() -> None:
    bars = category_histogram("t", "n", "s", {"few": 1, "many": 33_000})
    assert [tick.label for tick in bars.y_ticks] == ["0", "10k", "20k", "30k", "40k"]


def test_texts_are_counted_in_words() -> None:
    records = [Record(**record_row(number)) for number in range(8)]
    rows = {row.name: row for row in text_rows(records)}
    assert set(rows) == {"Whole video", "First part", "Second part"}
    assert (rows["First part"].records, rows["First part"].longest) == (8, 8)
    assert rows["First part"].quantiles[1] == 4.5


def test_ways_of_cutting_are_told_apart(run: Path) -> None:
    change_cuts(
        run,
        {"way": "copy"},
        {"way": "copy", "second": None, "encoded_frames": 0},
        {"why": "packet 12 is damaged", "encoded_frames": 48},
        {"why": "packet 7 is damaged", "encoded_frames": 48},
        {"why": "h263 in avi", "encoded_frames": 48},
    )
    card = collect_card(run)
    found = {row.way.split(" ", 1)[0]: (row.videos, row.frames, row.encoded) for row in way_rows(card)}
    assert found == {"Packets": (1, 48, 12), "Published": (1, 48, 0), "Whole": (5, 240, 168)}
    assert why_counts(card) == [("packet … is damaged", 2), ("h263 in avi", 1)]
    assert [bar.count for bar in encoded_histogram(card).bars if bar.count] == [3, 3]


def test_sets_take_in_their_validation_files() -> None:
    rows = {row.name: row for row in set_rows(MANIFEST["files"])}
    assert list(rows) == ["futurebench.jsonl", "grpo/next_event_mc.jsonl", "sft/next_event.json"]
    named = rows["sft/next_event.json"]
    assert (named.rows, named.validation, named.published_as) == (5, 2, "video_fp_sft_data")
    assert named.left_out == {"no_second_video": 2, "no_caption": 2}
    assert rows["futurebench.jsonl"].validation is None


def test_what_questions_give_away_is_shown(run: Path) -> None:
    few, asked = choice_rows(MANIFEST["files"])
    assert (few.path, few.text_only, list(few.rules)) == ("futurebench.jsonl", None, ["longest"])
    assert asked.text_only == Rate(33.25, 9.5, 70.0)
    assert not asked.rules["longest"].within_bound
    html = render_card(collect_card(run), "mine")
    page = Page(html)
    assert "Texts alone: a reader of texts." in page.text
    assert "too few videos" in page.text
    assert html.count('<td class="bad">') == 1
    without = {**MANIFEST, "files": {"futurebench.jsonl": {"rows": 4, "left_out": {}}}}
    assert "choices" not in Page(render_card(collect_card(write_run(run, [record_row(0)], without)), "mine")).ids


def test_quarantine_shows_reasons_and_the_first_of_each(run: Path) -> None:
    rows = set_aside(collect_card(run).quarantined)
    assert [(row.stage, row.reason, row.count) for row in rows] == [
        ("records", "missing_video", 5),
        ("split", "undecodable_video", 1),
    ]
    assert [example.detail for example in rows[0].examples] == ["no file 0", "no file 1", "no file 2"]


def test_the_page_is_the_same_before_and_after_encode(run: Path) -> None:
    before = render_card(collect_card(run), "mine")
    shard = encoded_shard([quarantine("clip-001", "encode", "too_few_frames", "1 frame")])
    write_value(run / "encode" / "shards" / "1-of-1.json", shard)
    assert render_card(collect_card(run), "mine") == before


def test_samples_alternate_between_sources_and_show_both_parts(run: Path) -> None:
    for number in range(1, 8):
        for part, colour in (("first", "red"), ("second", "blue")):
            write_clip(run / "segments" / part / f"clip-{number:03d}.mp4", COLOURS[colour], 0.1, 0.9, 12, 64)
    card = collect_card(run)
    samples = select_samples(card)
    assert len(samples) == SAMPLES
    assert {sample.record.source for sample in samples[:3]} == {"source0", "source1", "source2"}
    assert {(len(sample.first), len(sample.second)) for sample in samples} == {(6, 4)}
    page = Page(render_card(card, "mine"))
    assert page.tags.count("img") == 10 * SAMPLES
    assert f"cut {samples[0].record.split_time:.1f} s" in page.text


def test_a_video_that_is_added_takes_at_most_one_place(run: Path) -> None:
    before = [sample.record.id for sample in select_samples(collect_card(run))]
    write_run(run, [record_row(number) for number in range(9)])
    after = [sample.record.id for sample in select_samples(collect_card(run))]
    assert len(set(before) - set(after)) <= 1


def test_the_page_is_self_contained_and_leads_to_the_report(run: Path) -> None:
    html = render_card(collect_card(run), "mine")
    page = Page(html)
    anchors = {reference for reference in page.references if reference.startswith("#")}
    assert set(page.references) - anchors == {"index.html"}
    assert {anchor[1:] for anchor in anchors} <= page.ids
    assert {"link", "iframe", "object"}.isdisjoint(page.tags)
    assert runs_one_known_script(html)
    assert not any(word in html for word in ("http:", "https:", "url(", "@import"))
    assert page.tags.count("svg") == page.tags.count("details") == 6
    assert {"sources", "samples", "texts", "cutting", "sets", "choices", "quarantine"} <= page.ids


@pytest.mark.parametrize("attack", ATTACKS)
def test_text_of_records_injects_no_markup(tmp_path: Path, attack: str) -> None:
    def page_of(name: str, text: str) -> Page:
        texts = dict.fromkeys(("source", "caption", "caption_part1", "caption_part2"), text)
        root = write_run(tmp_path / name, [record_row(number, **texts) for number in range(4)], why=text)
        write_lines(root / "records" / "rejected.jsonl", [quarantine(text, text, "bad_record", text)])
        return Page(render_card(collect_card(root), text))

    as_many_words = " ".join("calm" for _ in attack.split())
    page, harmless = page_of("run", attack), page_of("calm", as_many_words)
    assert attack in "".join(page.texts)
    assert page.handlers == []
    assert page.tags == harmless.tags
    assert page.references == harmless.references


def test_an_empty_run_has_a_page(tmp_path: Path) -> None:
    write_lines(tmp_path / "records" / "records.jsonl", [])
    write_lines(tmp_path / "records" / "rejected.jsonl", [])
    write_lines(tmp_path / "split" / "manifest.jsonl", [])
    counts = {"split": 0, "left_out": {}, "train": 0, "validation": 0}
    write_value(tmp_path / "convert" / "manifest.json", {"records": counts, "files": {}})
    page = Page(render_card(collect_card(tmp_path), "mine"))
    assert {"samples", "texts", "cutting", "choices"}.isdisjoint(page.ids)
    assert "No record was set aside." in page.text


@pytest.mark.parametrize(
    "name", ["records/records.jsonl", "records/rejected.jsonl", "split/manifest.jsonl", "convert/manifest.json"]
)
def test_a_missing_file_is_named(run: Path, name: str) -> None:
    (run / name).unlink()
    with pytest.raises(InputError, match=f"{name}: no such file"):
        collect_card(run)


def test_a_manifest_of_another_shape_is_refused(run: Path) -> None:
    write_value(run / "convert" / "manifest.json", {"records": {}, "files": {"a.json": {"rows": 1}}})
    with pytest.raises(InputError, match=r"convert/manifest\.json, row 1: no key 'left_out'"):
        collect_card(run)


def test_entry_point_writes_the_same_page_again(run: Path, tmp_path: Path) -> None:
    def make(out: Path) -> subprocess.CompletedProcess:
        command = [sys.executable, "scripts/make_data_card.py", "--run-dir", run, "--name", "mine", "--out", out]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    for name in ("a.html", "b.html"):
        assert make(tmp_path / name).stderr == ""
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()
    (run / "convert" / "manifest.json").unlink()
    assert make(tmp_path / "c.html").returncode == 2
    assert not (tmp_path / "c.html").exists()


def test_the_card_imports_no_heavy_package() -> None:
    code = f"import sys; import {data_card.__name__}; sys.exit(bool({{'torch', 'sklearn'}} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT / "scripts", check=False).returncode == 0
