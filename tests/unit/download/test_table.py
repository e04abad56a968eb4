"""Tables of annotations beside plain videos: four formats, one meaning, the published form."""

import csv
import datetime
import decimal
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest

from nep.config.source import Source
from nep.download.dataset import finish_download, list_source
from nep.download.table import read_table
from nep.errors import InputError
from nep.files import read_json, write_jsonl
from nep.records.parse import parse_files
from nep.records.schema import Event, QuestionAnswer

ROWS = [
    {
        "video_path": "kitchen/egg.mp4",
        "split_time": 7.5,
        "split_scene": 2,
        "caption": 'A cook boils water, "slowly".\nThen an egg.',
        "caption_part1": "A cook boils water.",
        "caption_part2": "She drops an egg.",
        "events": ["A cook fills a pan.", "She lights the stove.", "She drops an egg."],
        "mc_qa": [{"question": "What is lit?\nA. A stove\nB. A lamp", "answer": "A"}],
        "oe_qa": [{"question": "What falls?", "answer": "An egg."}],
        "reasoning": "The water boils.",
        "prediction": "An egg follows.",
        "critique": "Sound.",
        "conclusion": "right",
    },
    {"video_path": "hall.mp4", "split_time": 2.0},
]
LISTS = ("events", "mc_qa", "oe_qa")


def write_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as lines:
        writer = csv.DictWriter(lines, list(rows[0]), restval="")
        writer.writeheader()
        writer.writerows({k: json.dumps(v) if k in LISTS else v for k, v in row.items()} for row in rows)


WRITERS: dict[str, Callable[[Path, list[dict[str, Any]]], None]] = {
    "csv": write_csv,
    "json": lambda path, rows: path.write_text(json.dumps(rows)) and None,
    "jsonl": write_jsonl,
    "parquet": lambda path, rows: pyarrow.parquet.write_table(pa.Table.from_pylist(rows), path),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "mine"
    (folder / "kitchen").mkdir(parents=True)
    (folder / "kitchen/egg.mp4").write_bytes(b"egg")
    (folder / "hall.mp4").write_bytes(b"hall")
    return folder


def download(folder: Path, run: Path, **changes: Any) -> dict[str, Any]:
    source = Source(**{"kind": "table", "path": str(folder), "questions": None, **changes})
    return finish_download(source, list_source(source), run)


@pytest.mark.parametrize("suffix", WRITERS)
def test_every_format_gives_the_same_records(folder: Path, tmp_path: Path, suffix: str) -> None:
    WRITERS[suffix](folder / f"clips.{suffix}", ROWS)
    run = tmp_path / "run"
    summary = download(folder, run, annotations=f"clips.{suffix}")
    assert (summary["videos"]["count"], summary["videos"]["bytes"], summary["archives"]) == (2, 7, {})
    annotations = run / "download/annotations"
    parsed = parse_files(
        annotations / "next_event_prediction.json", annotations / "futurebench.json", run / "download/videos"
    )
    assert not parsed.rejected and not parsed.questions
    egg, hall = parsed.records
    assert (egg.video, egg.source, egg.split_time, egg.split_scene) == ("kitchen/egg.mp4", "unknown", 7.5, 2)
    assert [event.description for event in egg.events] == ROWS[0]["events"]
    assert egg.events[2] == Event(scene=3, description="She drops an egg.")
    assert egg.mc_qa == (QuestionAnswer(**ROWS[0]["mc_qa"][0]),)
    assert egg.oe_qa == (QuestionAnswer(**ROWS[0]["oe_qa"][0]),)
    texts = ("caption", "caption_part1", "caption_part2", "reasoning", "prediction", "critique", "conclusion")
    assert {name: getattr(egg, name) for name in texts} == {name: ROWS[0][name] for name in texts}
    assert (hall.split_time, hall.split_scene, hall.caption, hall.events, hall.mc_qa) == (2.0, None, None, (), ())


def test_columns_may_have_other_names(folder: Path, tmp_path: Path) -> None:
    write_csv(folder / "clips.csv", [{"file": "hall.mp4", "cut at": "00:01.5", "text": "A door opens.", "note": "x"}])
    columns = {"video_path": "file", "split_time": "cut at", "caption_part2": "text"}
    download(folder, tmp_path / "run", annotations="clips.csv", columns=columns)
    (row,) = read_json(tmp_path / "run/download/annotations/next_event_prediction.json")
    assert row["video_split"] == {
        "split_caption": {"caption_part1": None, "caption_part2": "A door opens."},
        "scenes_timestep": [{"end": "00:01.5"}],
    }


def test_types_that_json_lacks_become_text(folder: Path) -> None:
    rows = [{"video_path": "a.mp4", "split_time": datetime.time(0, 0, 7, 500000)}]
    WRITERS["parquet"](folder / "clock.parquet", rows)
    rows = [{"video_path": "a.mp4", "split_time": decimal.Decimal("7.5")}]
    WRITERS["parquet"](folder / "decimal.parquet", rows)
    found = [read_table(folder / f"{name}.parquet", {})[0]["video_split"] for name in ("clock", "decimal")]
    assert [split["scenes_timestep"] for split in found] == [[{"end": "00:00:07.500000"}], [{"end": "7.5"}]]


@pytest.mark.parametrize(
    ("header", "columns", "message"),
    [
        ("video_path,splittime", {}, "no column 'split_time'; did you mean 'splittime'?"),
        ("clip,split_time", {}, "no column 'video_path'; source.columns says where 'video_path' is"),
        ("video_path,split_time", {"caption": "text"}, r"no column 'text'.*\(columns: video_path, split_time\)"),
    ],
)
def test_a_missing_column_is_named(folder: Path, header: str, columns: dict, message: str) -> None:
    (folder / "clips.csv").write_text(f"{header}\nhall.mp4,2\n")
    with pytest.raises(InputError, match=rf"clips\.csv: {message}"):
        read_table(folder / "clips.csv", columns)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("clips.xlsx", b"PK", r"a table is one of \.csv, \.json, \.jsonl, \.parquet, found '\.xlsx'"),
        ("clips.csv", b"video_path,split_time\n\xff,1\n", "not a CSV file in UTF-8"),
        ("clips.json", b"{}", "expected a list of objects, found dict"),
        ("clips.jsonl", b"3\n", "row 0: expected an object, found 3"),
        ("clips.parquet", b"no", "not a parquet file"),
    ],
)
def test_an_unreadable_table_is_named(folder: Path, name: str, content: bytes, message: str) -> None:
    (folder / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_table(folder / name, {})


def test_bad_rows_are_rejected_and_no_file_outside_the_folder_is_linked(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.mp4").write_bytes(b"secret")
    names = ["../secret.mp4", str(tmp_path / "secret.mp4"), "gone.mp4", "x" * 300 + ".mp4", "kitchen", None]
    rows = [{"video_path": name, "split_time": 1} for name in names]
    rows.append({"video_path": "hall.mp4", "split_time": None})
    rows.append({"video_path": "kitchen/egg.mp4", "split_time": 1, "events": "no list"})
    write_jsonl(folder / "clips.jsonl", rows)
    summary = download(folder, tmp_path / "run", annotations="clips.jsonl")
    videos = tmp_path / "run/download/videos"
    assert summary["videos"]["count"] == 2
    assert sorted(path.name for path in videos.rglob("*.mp4")) == ["egg.mp4", "hall.mp4"]
    parsed = parse_files(tmp_path / "run/download/annotations/next_event_prediction.json", None, videos)
    assert not parsed.records
    reasons = {row["detail"].partition(":")[0].partition("[")[2][:-1]: row["reason"] for row in parsed.rejected}
    assert list(reasons.values()).count("bad_record") == 5 and len(reasons) == 8
    assert (reasons["2"], reasons["4"], reasons["6"]) == ("missing_video", "missing_video", "missing_split_time")


def test_videos_are_linked_and_the_users_own_stay(folder: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    write_csv(folder / "clips.csv", ROWS)
    first = download(folder, run, annotations="clips.csv")
    assert (run / "download/videos/hall.mp4").samefile(folder / "hall.mp4")
    assert download(folder, run, annotations="clips.csv") == first
    (folder / "hall.mp4").unlink()
    (folder / "hall.mp4").write_bytes(b"other")
    changed = download(folder, run, annotations="clips.csv")
    assert changed["videos"]["sha256"] != first["videos"]["sha256"]
    assert (run / "download/videos/hall.mp4").read_bytes() == b"other"
    write_csv(folder / "clips.csv", ROWS[:1])
    assert download(folder, run, annotations="clips.csv")["videos"]["count"] == 1
    assert not (run / "download/videos/hall.mp4").exists() and (folder / "hall.mp4").is_file()


def test_another_file_system_gets_copies(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr("os.link", refuse)
    write_csv(folder / "clips.csv", ROWS)
    download(folder, tmp_path / "run", annotations="clips.csv")
    copy = tmp_path / "run/download/videos/hall.mp4"
    assert copy.read_bytes() == b"hall" and not copy.samefile(folder / "hall.mp4")


def test_columns_belong_to_a_table() -> None:
    with pytest.raises(ValueError, match="'columns' belongs to kind 'table'"):
        Source(kind="folder", path="x", columns={"video_path": "file"})
    with pytest.raises(ValueError, match="kind 'table' needs 'path'"):
        Source(kind="table")
