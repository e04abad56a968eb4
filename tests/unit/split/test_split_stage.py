"""Shards, ledger, killable workers, and the merge."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.rows import cut, lost, record

from nep.config.split import Split
from nep.errors import InputError
from nep.files import read_jsonl, write_jsonl
from nep.jobs.shards import check_complete, shard_of
from nep.jobs.workers import Failure, run_items
from nep.rows.base import read_rows, write_rows
from nep.rows.record import Record
from nep.split import stage
from nep.split.recipe import Recipe
from nep.split.stage import merge_split, split_shard
from nep.split.task import SplitTask, split_video
from nep.video.tools import run_ffmpeg

SCRIPTS = Path(__file__).resolve().parents[3] / "scripts"


def act(order: str) -> str:
    """A worker's function that does as its item says."""
    if order == "hang":
        time.sleep(600)
    if order == "poison":
        # As broken memory does: this item ends well, and the next one in its process does not.
        signal.signal(signal.SIGALRM, lambda *_: os._exit(5))
        signal.setitimer(signal.ITIMER_REAL, 0.3)
    if order == "next":
        time.sleep(0.6)
    if order == "crash":
        os._exit(3)
    if order == "raise":
        raise ValueError("no such thing")
    if order == "disk full":
        raise OSError(28, "No space left on device")
    return order.upper()


def test_hang_crash_and_error_cost_one_item_each() -> None:
    items = ["a", "hang", "b", "crash", "raise", "c"]
    outcomes = dict(run_items(act, items, processes=2, timeout_s=2, label="test"))
    assert [outcomes[item] for item in "abc"] == ["A", "B", "C"]
    assert outcomes["hang"] == Failure("timeout", "no result within 2 s")
    assert outcomes["crash"] == Failure("crash", "the worker process ended with status 3")
    assert outcomes["raise"] == Failure("error", "ValueError: no such thing")


def test_a_crash_is_no_reason_of_a_neighbour() -> None:
    outcomes = dict(run_items(act, ["poison", "next", "crash"], processes=1, timeout_s=30, label="test"))
    assert [outcomes[item] for item in ("poison", "next")] == ["POISON", "NEXT"]
    assert outcomes["crash"] == Failure("crash", "the worker process ended with status 3")


@pytest.mark.parametrize("name", ["mpeg2.mpg", "mpeg1.mpg", "sorenson.flv", "copied.flv"])
def test_streams_that_show_late_in_the_file(name: str, videos: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / name
    codecs = {"mpeg2.mpg": "mpeg2video", "mpeg1.mpg": "mpeg1video", "sorenson.flv": "flv", "copied.flv": "copy"}
    run_ffmpeg(["-v", "error", "-i", str(videos["cfr.mp4"]), "-c:v", codecs[name], "-q:v", "3", str(path)])
    task = SplitTask("a", path, 1.0, False, tmp_path, tmp_path / "work", Recipe(10, "ultrafast"), 60)
    ((_, row),) = run_items(split_video, [task], processes=1, timeout_s=60, label="test")
    assert (row.status, row.first.frames, row.second.frames) == ("ok", 30, 60), row


def test_a_full_disk_ends_the_run() -> None:
    with pytest.raises(OSError, match="No space left"):
        list(run_items(act, ["disk full", "a"], processes=1, timeout_s=30, label="test"))


def test_new_ids_never_move_the_others() -> None:
    ids = [f"clip-{number}" for number in range(400)]
    counts = [sum(shard_of(identity, 4) == shard for identity in ids) for shard in (1, 2, 3, 4)]
    assert sum(counts) == 400
    assert min(counts) > 60
    assert shard_of("clip-0", 4) == int(hashlib.sha256(b"clip-0").hexdigest(), 16) % 4 + 1


def test_incomplete_set_of_shards() -> None:
    check_complete([Path("a/2-of-2.jsonl"), Path("a/1-of-2.jsonl")])
    for names in (
        ["1-of-2.jsonl"],
        ["1-of-2.jsonl", "1-of-2.jsonl"],
        ["1-of-1.jsonl", "2-of-2.jsonl"],
        ["x.jsonl"],
        [],
    ):
        with pytest.raises(InputError):
            check_complete([Path(name) for name in names])


@pytest.fixture
def records(videos: dict[str, Path], tmp_path: Path) -> Path:
    """Six records on the generated videos: good, split outside, zero bytes, absent, already cut, leaving its root."""
    root = videos["cfr.mp4"].parent
    (root / "zero.mp4").touch()
    rows = [
        record("absent", "nowhere.mp4"),
        record("cut", "b_frames.mp4", split_time=None, already_cut=True),
        record("good", "cfr.mp4"),
        record("late", "cfr.mp4", split_time=77.0),
        record("outside", "../../../etc/passwd"),
        record("zero", "zero.mp4"),
    ]
    write_rows(tmp_path / "records.jsonl", rows)
    return tmp_path / "records.jsonl"


def run_shard(records: Path, videos: dict[str, Path], run: Path, **changes: object) -> dict[str, dict]:
    out = run / "split" / "shards" / "1-of-1.jsonl"
    options = {"records": records, "videos": videos["cfr.mp4"].parent, "split": Split(), "shard": 1, "shards": 1}
    split_shard(**{**options, "run_dir": run, "out": out, "code": "0", **changes})
    return {row["id"]: row for row in read_jsonl(out)}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_each_bad_video_is_a_row(records: Path, videos: dict[str, Path], tmp_path: Path) -> None:
    rows = run_shard(records, videos, tmp_path / "run")
    assert list(rows) == sorted(rows)
    assert {identity: row.get("reason") for identity, row in rows.items()} == {
        "absent": "missing_video",
        "cut": None,
        "good": None,
        "late": "split_outside_video",
        "outside": "missing_video",
        "zero": "empty_video",
    }
    assert rows["good"] == {
        **rows["good"],
        **{"status": "ok", "way": "copy", "time_base": "1/15360", "split_pts": 15360, "fps": 30.0},
        **{"source_frames": 90, "duration": 3.0, "width": 64, "height": 48},
    }


def test_resume_makes_only_what_is_missing(records: Path, videos: dict[str, Path], tmp_path: Path) -> None:
    run = tmp_path / "run"
    rows = run_shard(records, videos, run)
    before = contents(run)
    kept, remade = run / rows["cut"]["first"]["path"], run / rows["good"]["second"]["path"]
    stamp = kept.stat().st_mtime_ns
    remade.write_bytes(b"damaged")
    (run / "split/shards/1-of-1.jsonl").unlink()
    assert run_shard(records, videos, run) == rows
    assert contents(run) == before
    assert kept.stat().st_mtime_ns == stamp


def test_a_further_video_leaves_the_others_untouched(records: Path, videos: dict[str, Path], tmp_path: Path) -> None:
    run = tmp_path / "run"
    before = run_shard(records, videos, run)
    inodes = {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in (run / "segments").rglob("*.mp4")}
    write_rows(records, [*read_rows(Record, records), record("new", "vfr.mkv")])
    after = run_shard(records, videos, run)
    assert after["new"]["status"] == "ok"
    assert {identity: row for identity, row in after.items() if identity != "new"} == before
    assert len(inodes) == 3
    assert {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in inodes} == inodes


def test_changed_split_time_is_cut_again(records: Path, videos: dict[str, Path], tmp_path: Path) -> None:
    run_shard(records, videos, tmp_path / "run")
    rows = read_jsonl(records)
    rows[2]["split_time"] = 2.0
    write_jsonl(records, rows)
    assert run_shard(records, videos, tmp_path / "run")["good"]["first"]["frames"] == 60


def test_time_limit_gives_a_row_and_is_tried_again(records: Path, videos: dict[str, Path], tmp_path: Path) -> None:
    write_rows(records, [*read_rows(Record, records), record("other_codec", "mpeg4.avi")])
    short = run_shard(records, videos, tmp_path / "run", split=Split(timeout_s=0.001))
    assert short["other_codec"]["reason"] == "split_timeout"
    assert not (tmp_path / "run/segments/first/other_codec.mp4").exists()
    assert run_shard(records, videos, tmp_path / "run")["other_codec"]["status"] == "ok"


def test_another_run_takes_cut_videos_from_the_store(
    records: Path, videos: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "store").mkdir()
    monkeypatch.setenv("NEP_STORE", str(tmp_path / "store"))
    rows = run_shard(records, videos, tmp_path / "a")
    tried: list[str] = []

    def cut_nothing_new(function, tasks, **options):
        tried.extend(task.identity for task in tasks)
        return run_items(function, tasks, **options)

    monkeypatch.setattr(stage, "run_items", cut_nothing_new)
    assert run_shard(records, videos, tmp_path / "b") == rows
    assert not set(tried) & {identity for identity, row in rows.items() if row["status"] == "ok"}
    assert contents(tmp_path / "b/segments") == contents(tmp_path / "a/segments")
    tried.clear()
    run_shard(records, videos, tmp_path / "c", split=Split(crf=30))
    assert set(tried) >= {identity for identity, row in rows.items() if row["status"] == "ok"}


def test_unknown_preset(records: Path, videos: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'warp' is no preset of x264; it has ultrafast"):
        run_shard(records, videos, tmp_path, split=Split(preset="warp"))


def test_killed_at_any_moment_then_finished_gives_equal_bytes(videos: dict[str, Path], tmp_path: Path) -> None:
    names = ["cfr.mp4", "b_frames.mp4", "vfr.mkv", "odd.mp4", "mpeg4.avi", "late_start.ts"]
    records = tmp_path / "records.jsonl"
    write_rows(
        records,
        [record(f"v{i}", name, split_time=1.1) for i, name in enumerate(names)],
    )

    def command(run: Path) -> list[str]:
        paths = [
            "--records",
            records,
            "--videos",
            videos["cfr.mp4"].parent,
            "--run-dir",
            run,
            "--out",
            run / "1-of-1.jsonl",
        ]
        shard = ["--split", "{}", "--processes", "2", "--shard", "1", "--shards", "1"]
        return [sys.executable, str(SCRIPTS / "split_shard.py"), *map(str, paths), *shard]

    subprocess.run(command(tmp_path / "whole"), check=True, capture_output=True, timeout=120)
    killed = tmp_path / "killed"
    for seconds in (0.6, 1.0, 1.4):
        process = subprocess.Popen(command(killed), stderr=subprocess.DEVNULL)
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        process.wait()
    subprocess.run(command(killed), check=True, capture_output=True, timeout=120)
    for part in ("segments", "1-of-1.jsonl"):
        whole, resumed = tmp_path / "whole" / part, killed / part
        if whole.is_file():
            assert whole.read_bytes() == resumed.read_bytes()
        else:
            assert contents(whole) == contents(resumed)


def shard_rows(tmp_path: Path, bad: int, good: int) -> list[Path]:
    rows = [lost(f"b{i}", "empty_video", "d") for i in range(bad)]
    rows += [cut(f"g{i}") for i in range(good)]
    for shard in (1, 2):
        write_rows(tmp_path / f"{shard}-of-2.jsonl", [row for row in rows if shard_of(row.id, 2) == shard])
    return [tmp_path / "2-of-2.jsonl", tmp_path / "1-of-2.jsonl"]


def test_merge_sorts_and_counts_the_rejected(tmp_path: Path) -> None:
    files, out, rejected = shard_rows(tmp_path, bad=1, good=9), tmp_path / "manifest.jsonl", tmp_path / "rejected.jsonl"
    write_jsonl(rejected, [{"id": "q", "stage": "records", "reason": "bad_question", "detail": "d"}])
    merge_split(files, rejected, Split(max_quarantine_fraction=0.1), out)
    assert [row["id"] for row in read_jsonl(out)] == ["b0", *(f"g{i}" for i in range(9))]
    out.unlink()
    write_jsonl(rejected, [{"id": "r", "stage": "records", "reason": "missing_split_time", "detail": "d"}])
    with pytest.raises(InputError, match="2 of 11 videos are quarantined") as caught:
        merge_split(files, rejected, Split(max_quarantine_fraction=0.1), out)
    assert "empty_video: 1" in str(caught.value)
    assert "missing_split_time: 1" in str(caught.value)
    assert not out.exists()


def test_merge_finds_doubled_ids(tmp_path: Path) -> None:
    write_rows(tmp_path / "1-of-1.jsonl", [cut("a")] * 2)
    with pytest.raises(InputError, match="'a'"):
        merge_split([tmp_path / "1-of-1.jsonl"], None, Split(), tmp_path / "out.jsonl")
