"""Bad input through the command that users type: one clear message, or a quarantine row and the run goes on."""

import io
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.workflow import Outcome, Workplace, reasons

from nep.files import read_json, read_jsonl, write_json

pytestmark = pytest.mark.e2e

LISTING = "results/small/download/archives.json"
DOWNLOAD = "results/small/download/manifest.json"
MODEL = "results/small/models/base.manifest.json"
SPLIT = "results/small/split/manifest.jsonl"
FIRST_ARCHIVE = "video_data_part0.tar.gz"


def from_folder(workplace: Workplace, hub: Path, **changes: Any) -> Path:
    return workplace.configure("small", source={"path": str(hub)}, **changes)


def message_of(outcome: Outcome, log: Path) -> str:
    """The one message of a job that found bad input; it ends the job's log, and nothing is a traceback."""
    assert outcome.status != 0
    assert "Traceback" not in outcome.text
    lines = log.read_text(encoding="utf-8").replace("\r", "\n").splitlines()
    starts = [number for number, line in enumerate(lines) if line.startswith("error: ")]
    assert len(starts) == 1, lines
    assert lines[starts[0]] in outcome.text
    return "\n".join(lines[starts[0] :])


@contextmanager
def edited(path: Path) -> Iterator[list[dict[str, Any]]]:
    """The rows of a JSON file, written back at the end."""
    rows = read_json(path)
    yield rows
    write_json(path, rows)


def repack(archive: Path, change: Callable[[tarfile.TarInfo, bytes], tuple[tarfile.TarInfo, bytes]]) -> None:
    """Pass every member of an archive through `change`."""
    with tarfile.open(archive) as packed:
        members = [(member, packed.extractfile(member).read()) for member in packed]
    with tarfile.open(archive, "w:gz") as packed:
        for member, data in members:
            changed, content = change(member, data)
            changed.size = len(content)
            packed.addfile(changed, io.BytesIO(content))


def test_a_misspelt_key_is_named_with_the_one_that_was_meant(workplace: Workplace) -> None:
    outcome = workplace.run(workplace.configure("small", sft={"lerning_rate": 1, "epochs": 0}, spilt={}))
    assert outcome.status != 0
    assert "Traceback" not in outcome.text
    assert "spilt: unknown key; did you mean 'split'?" in outcome.text
    assert "sft.lerning_rate: unknown key; known keys: " in outcome.text
    assert "sft.epochs: Input should be greater than or equal to 1 (found 0)" in outcome.text
    assert not (workplace.root / "results").exists()


def test_an_unknown_model_family_is_refused(workplace: Workplace, tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    write_json(model / "config.json", {"model_type": "bert"})
    (model / "model.safetensors").write_bytes(b"")
    outcome = workplace.run(workplace.configure("small", model={"path": str(model)}), MODEL)
    message = message_of(outcome, workplace.root / "results/small/logs/fetch_model.log")
    assert "unknown model family 'bert'; known: qwen2_5_vl" in message
    assert not (workplace.root / MODEL).exists()
    assert not (workplace.root / "results/small/models/base").exists()


def test_missing_archives_are_named(workplace: Workplace, hub) -> None:
    folder = hub()
    for archive in folder.glob("*.tar.gz"):
        archive.unlink()
    outcome = workplace.run(from_folder(workplace, folder), LISTING)
    message = message_of(outcome, workplace.root / "results/small/logs/list_source.log")
    assert message == (
        f"error: folder {folder}: no archive matches video_data_part*.tar.gz; "
        "it holds futurebench.json, next_event_prediction.json"
    )


def test_a_truncated_archive_is_named_and_its_whole_copy_goes_on(workplace: Workplace, hub) -> None:
    folder = hub()
    archive = folder / FIRST_ARCHIVE
    whole = archive.read_bytes()
    archive.write_bytes(whole[: len(whole) // 2])
    config = from_folder(workplace, folder)
    outcome = workplace.run(config, DOWNLOAD)
    message = message_of(outcome, workplace.root / f"results/small/logs/fetch_archive/{FIRST_ARCHIVE}.log")
    assert f"{archive}: truncated or damaged archive" in message
    archive.write_bytes(whole)
    outcome = workplace.run(config, DOWNLOAD)
    assert outcome.status == 0, outcome.text
    assert read_json(workplace.root / DOWNLOAD)["videos"]["count"] == 8


def test_a_member_that_leaves_the_root_is_refused(workplace: Workplace, hub) -> None:
    folder = hub()

    def escaped(member: tarfile.TarInfo, data: bytes) -> tuple[tarfile.TarInfo, bytes]:
        return tarfile.TarInfo(f"../../{Path(member.name).name}"), data

    repack(folder / FIRST_ARCHIVE, escaped)
    outcome = workplace.run(from_folder(workplace, folder), DOWNLOAD)
    message = message_of(outcome, workplace.root / f"results/small/logs/fetch_archive/{FIRST_ARCHIVE}.log")
    assert f"{FIRST_ARCHIVE}: member '../../lamps_000000.mp4' leaves the extraction root; refused" in message
    assert not list(workplace.root.rglob("lamps_000000.mp4"))


def test_bad_videos_records_and_questions_are_quarantined_and_the_run_goes_on(workplace: Workplace, hub) -> None:
    folder = hub()

    def emptied(member: tarfile.TarInfo, data: bytes) -> tuple[tarfile.TarInfo, bytes]:
        contents = {"lamps_000000.mp4": b"", "lamps_000001.mp4": b"no video"}
        return member, contents.get(Path(member.name).name, data)

    repack(folder / FIRST_ARCHIVE, emptied)
    with edited(folder / "next_event_prediction.json") as records:
        records[2]["video_split"]["scenes_timestep"] = []
        records[3]["video_split"]["scenes_timestep"] = [{"Scene 2": [0, 90]}, {"Scene 3": [90, 99]}]
        records[4]["video_path"] = "video_dataset/lamps/nowhere.mp4"
    with edited(folder / "futurebench.json") as questions:
        questions[0]["qa"]["Answer"] = "F"
        number = len(questions)

    config = from_folder(workplace, folder)
    outcome = workplace.run(config, SPLIT)
    message = message_of(outcome, workplace.root / "results/small/logs/merge_split.log")
    assert "5 of 8 videos are quarantined, split.max_quarantine_fraction allows 0.1 of them:" in message
    assert not (workplace.root / SPLIT).exists()

    config = from_folder(workplace, folder, split={"max_quarantine_fraction": 0.7})
    outcome = workplace.run(config, SPLIT)
    assert outcome.status == 0, outcome.text
    run = workplace.root / "results" / "small"
    rejected = reasons(run / "records" / "rejected.jsonl")
    assert sorted(rejected.values()) == ["empty_video", "missing_split_time", "missing_video", "no_right_answer"]
    rows = read_jsonl(workplace.root / SPLIT)
    quarantined = {row["id"]: row["reason"] for row in rows if row["status"] == "quarantined"}
    assert sorted(quarantined.values()) == ["split_outside_video", "undecodable_video"]
    assert len([row for row in rows if row["status"] == "ok"]) == 3
    assert len(read_jsonl(run / "records" / "questions.jsonl")) == number - 1
    left = {path.stem for part in ("first", "second") for path in (run / "segments" / part).iterdir()}
    assert left == {row["id"] for row in rows if row["status"] == "ok"}
