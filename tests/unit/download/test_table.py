"""Tables of annotations beside plain videos: four formats, one meaning, the published form."""

import csv
import datetime
import decimal
import json
from collections.abc import Callable
from fractions import Fraction
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
from nep.records.parse import parse_files, write_parsed
from nep.records.times import parse_split_time
from nep.rows.record import Event, QuestionAnswer
from nep.video.timeline import Timeline, cut_pts

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


def rows_of(table: Path) -> list[dict[str, Any]]:
    return read_table(table, {})


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


@pytest.mark.parametrize("kind", ["float16", "float32", "float64", "dictionary of float32"])
def test_a_narrow_number_cuts_at_the_frame_that_its_decimal_names(folder: Path, kind: str) -> None:
    frames = {0.4: 10, 0.6: 15, 1.2: 30, 2.2: 55}
    values = pa.array(list(frames), kind.rpartition(" ")[2])
    values = values.dictionary_encode() if kind.startswith("dictionary") else values
    table = pa.table({"video_path": ["a.mp4"] * len(frames), "split_time": values})
    pyarrow.parquet.write_table(table, folder / "narrow.parquet")
    seconds = [parse_split_time(row["video_split"]["scenes_timestep"]) for row in rows_of(folder / "narrow.parquet")]
    assert seconds == list(frames)
    timeline = Timeline(pts=tuple(range(100)), last_duration=1, time_base=Fraction(1, 25))
    assert [cut_pts(timeline, time) for time in seconds] == list(frames.values())


@pytest.mark.parametrize(
    ("kind", "ticks", "written", "seconds"),
    [
        (pa.duration("s"), 90000, "90000", 90000.0),
        (pa.duration("ms"), 7500, "7.500", 7.5),
        (pa.duration("us"), 400000, "0.400000", 0.4),
        (pa.duration("ns"), 1500000001, "1.500000001", 1.500000001),
        (pa.time64("ns"), 7500000001, "00:00:07.500000001", 7.500000001),
        (pa.time32("ms"), 3723400, "01:02:03.400", 3723.4),
    ],
)
def test_times_of_any_unit_keep_their_digits(
    folder: Path, kind: pa.DataType, ticks: int, written: str, seconds: float
) -> None:
    table = pa.table({"video_path": ["a.mp4", "b.mp4"], "split_time": pa.array([ticks, None], kind)})
    pyarrow.parquet.write_table(table, folder / "times.parquet")
    first, second = (row["video_split"]["scenes_timestep"] for row in rows_of(folder / "times.parquet"))
    assert (first, second) == ([{"end": written}], [])
    assert parse_split_time(first) == seconds


def test_no_number_of_numpy_is_no_value(folder: Path) -> None:
    table = pa.table({"video_path": ["a.mp4"], "split_time": [2.0], "split_scene": [float("nan")]})
    pyarrow.parquet.write_table(table, folder / "nan.parquet")
    (row,) = rows_of(folder / "nan.parquet")
    assert row["video_split"]["scenes_timestep"] == [{"end": 2.0}]


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
    ("content", "message"),
    [
        (
            "video_path,split_time,caption\nhall.mp4,2,A door, then a cup.\n",
            r"row 0 \(it ends in line 2\): 4 fields for 3 columns: ' then a cup.' is behind the last column, 'caption'",
        ),
        (
            'video_path,caption,split_time\na.mp4,"two\nlines",1\n\nb.mp4,x\n',
            r"row 1 \(it ends in line 5\): 2 fields for 3 columns: none for 'split_time'",
        ),
        ("video_path,split_time,caption,caption\na.mp4,1,x,y\n", "column 'caption' occurs twice"),
        (
            "video_path,split_time,Caption_Part2\na.mp4,1,x\n",
            r"column 'Caption_Part2' is not read; did you mean 'caption_part2'\? .*{caption_part2: Caption_Part2}",
        ),
        ("video_path,split_time,event\na.mp4,1,x\n", r"column 'event' is not read; did you mean 'events'\?"),
    ],
)
def test_a_table_that_would_lose_text_is_refused(folder: Path, content: str, message: str) -> None:
    (folder / "clips.csv").write_text(content)
    with pytest.raises(InputError, match=rf"clips\.csv: {message}"):
        rows_of(folder / "clips.csv")


def test_a_column_twice_in_parquet_is_refused_and_columns_of_other_names_are_not(folder: Path) -> None:
    twice = pa.Table.from_arrays([pa.array(["a.mp4"])] * 3, names=["video_path", "split_time", "split_time"])
    pyarrow.parquet.write_table(twice, folder / "twice.parquet")
    with pytest.raises(InputError, match="column 'split_time' occurs twice"):
        rows_of(folder / "twice.parquet")
    write_csv(folder / "clips.csv", [{**dict(ROWS[1]), "caption": "x", "captions": "y", "notes": "z"}])
    assert rows_of(folder / "clips.csv")[0]["caption"] == "x"


@pytest.mark.parametrize(
    ("scene", "number"), [(2, 2), (2.0, 2), ("2", 2), ("2.0", 2), ("Scene 2", 2), ("two", None), (0, None), (2.5, None)]
)
def test_a_scene_without_a_number_rejects_the_row_for_what_it_is(
    folder: Path, tmp_path: Path, scene: object, number: int | None
) -> None:
    (folder / "clips.json").write_text(json.dumps([{"video_path": "hall.mp4", "split_time": 1, "split_scene": scene}]))
    download(folder, tmp_path / "run", annotations="clips.json")
    annotations = tmp_path / "run/download/annotations/next_event_prediction.json"
    parsed = parse_files(annotations, None, tmp_path / "run/download/videos")
    assert [record.split_scene for record in parsed.records] == ([] if number is None else [number])
    message = f"split_scene must be a whole number from 1, found {scene!r}"
    assert [(row.reason, message in row.detail) for row in parsed.rejected] == (
        [("bad_record", True)] if number is None else []
    )


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
    reasons = {row.detail.partition(":")[0].partition("[")[2][:-1]: row.reason for row in parsed.rejected}
    assert list(reasons.values()).count("bad_record") == 5 and len(reasons) == 8
    assert (reasons["2"], reasons["4"], reasons["6"]) == ("missing_video", "missing_video", "missing_split_time")


def test_no_row_ends_the_run(folder: Path, tmp_path: Path) -> None:
    long = "x" * 251 + ".mp4"
    (folder / long).write_bytes(b"long")
    broken = {"video_path": "hall.mp4", "split_time": 1, "caption": "A \ud800 cup", "events": "\ud800"}
    rows = [
        {**broken, "events": ["A \ud800 door"]},
        {**broken, "video_path": "\ud800.mp4"},
        {**broken, "video_path": long},
    ]
    (folder / "clips.json").write_text(json.dumps(rows))
    download(folder, tmp_path / "run", annotations="clips.json")
    parsed = parse_files(
        tmp_path / "run/download/annotations/next_event_prediction.json", None, tmp_path / "run/download/videos"
    )
    write_parsed(parsed, tmp_path / "records")
    assert [record.caption for record in parsed.records] == ["A \ufffd cup"]
    assert [row.reason for row in parsed.rejected] == ["bad_record", "bad_record"]


def test_a_table_of_long_cells_is_read(folder: Path) -> None:
    rows = [{"video_path": "a.mp4", "split_time": "1", "caption": "word " * 40_000}]
    write_csv(folder / "clips.csv", rows)
    assert rows_of(folder / "clips.csv")[0]["caption"] == rows[0]["caption"]


def test_a_caption_keeps_its_own_video(folder: Path, tmp_path: Path) -> None:
    names = ["missing/hall.mp4", "hall.mp4", "./kitchen//egg.mp4", "kitchen/egg.mp4"]
    write_jsonl(folder / "clips.jsonl", [{"video_path": name, "split_time": 1, "caption": name} for name in names])
    summary = download(folder, tmp_path / "run", annotations="clips.jsonl")
    videos = tmp_path / "run/download/videos"
    parsed = parse_files(tmp_path / "run/download/annotations/next_event_prediction.json", None, videos)
    assert summary["videos"]["count"] == 2
    assert {record.caption: record.video for record in parsed.records} == {
        "hall.mp4": "hall.mp4",
        "./kitchen//egg.mp4": "kitchen/egg.mp4",
    }
    found = {row.detail.partition(":")[0]: row.reason for row in parsed.rejected}
    file = "next_event_prediction.json"
    assert found == {f"{file}[0]": "missing_video", f"{file}[3]": "duplicate_record"}


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
