"""The same videos and annotations as a plain folder with a table, and in the hub's layout: the same data sets; one of
the videos as a folder of its frames."""

import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import pyarrow as pa
import pyarrow.parquet
import pytest
from support.workflow import Workplace

from nep.files import read_json, read_jsonl

pytestmark = pytest.mark.e2e

RECORDS = "results/small/records/manifest.json"
SEGMENTS = "results/small/split/manifest.jsonl"
CONVERTED = "results/small/convert/manifest.json"


def pairs(turns: list[dict[str, str]]) -> list[dict[str, str]]:
    texts = [turn["value"] for turn in turns]
    return [{"question": ask, "answer": tell} for ask, tell in zip(texts[::2], texts[1::2], strict=True)]


def flat(row: dict[str, Any]) -> dict[str, Any]:
    """A published annotation as a row of a table, with columns of other names."""
    before, after = row["video_split"]["scenes_timestep"]
    ((scene, _),) = before.items()
    ((_, rest),) = after.items()
    return {
        "file": row["video_path"],
        "cut_s": rest["start"],
        "split_scene": int(scene.removeprefix("Scene ")),
        "caption": row["caption"],
        **row["video_split"]["split_caption"],
        "events": [event["description"] for event in row["events"]],
        "mc_qa": pairs(row["mc_qa"]),
        "oe_qa": pairs(row["oe_qa"]),
        "reasoning": row["ds_reasoning"]["rewritten_reasoning_content"],
        "prediction": row["ds_reasoning"]["rewritten_prediction_content"],
        "critique": row["o3_critique"]["Critique"],
        "conclusion": row["o3_critique"]["Conclusion"],
        "hindsight": row["hindsight_reasoning"],
    }


def as_plain_folder(hub: Path, folder: Path) -> Path:
    """Unpack the archives of a data set, and write its annotations as a parquet file."""
    for archive in sorted(hub.glob("*.tar.gz")):
        with tarfile.open(archive) as packed:
            packed.extractall(folder, filter="data")
    rows = [flat(row) for row in read_json(hub / "next_event_prediction.json")]
    pyarrow.parquet.write_table(pa.Table.from_pylist(rows), folder / "clips.parquet")
    shutil.copyfile(hub / "futurebench.json", folder / "futurebench.json")
    return folder


def first_as_images(plain: Path) -> float:
    """Put a folder of the first video's frames into its place, and name it in table and questions; its rate."""
    video = sorted(plain.rglob("*.mp4"))[0]
    folder = video.with_suffix("")
    folder.mkdir()
    with av.open(str(video)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            frame.to_image().save(folder / f"frame_{number:06d}.png")
        rate = container.streams.video[0].average_rate
    video.unlink()
    name = video.relative_to(plain).as_posix()
    rows = pyarrow.parquet.read_table(plain / "clips.parquet").to_pylist()
    named = [{**row, "file": row["file"].removesuffix(".mp4")} if row["file"] == name else row for row in rows]
    assert named != rows
    pyarrow.parquet.write_table(pa.Table.from_pylist(named), plain / "clips.parquet")
    questions = plain / "futurebench.json"
    questions.write_text(questions.read_text().replace(f'"{name}"', f'"{name.removesuffix(".mp4")}"'))
    return float(rate)


def test_a_table_gives_the_data_sets_of_the_hub_layout_and_a_replaced_video_is_cut_again(
    workplace: Workplace, hub: Callable[..., Path], tmp_path: Path
) -> None:
    archives = hub()
    outcome = workplace.run(workplace.configure("small", source={"path": str(archives)}), CONVERTED)
    assert outcome.status == 0, outcome.text
    expected = read_json(workplace.root / CONVERTED)
    folder = as_plain_folder(archives, tmp_path / "plain")
    table = {
        "kind": "table",
        "path": str(folder),
        "frame_folders": {"fps": first_as_images(folder), "shards": 1},
        "annotations": "clips.parquet",
        "columns": {"video_path": "file", "split_time": "cut_s"},
    }
    config = workplace.configure("small", source=table)
    outcome = workplace.run(config, CONVERTED)
    assert outcome.status == 0, outcome.text
    assert read_json(workplace.root / CONVERTED) == expected
    assert expected["files"]["grpo/next_event_mc.jsonl"]["rows"] > 0 and expected["records"]["split"] == 8
    a_replaced_video_is_cut_again_and_no_other(workplace, config, folder)

    without = workplace.configure("small", source={**table, "questions": None})
    assert "source.questions is null: there is nothing to evaluate on" in workplace.run(without, "-n").text
    outcome = workplace.run(without, "-n", CONVERTED)
    assert outcome.status == 0 and outcome.planned()["finish_download"] == 1, outcome.text


def a_replaced_video_is_cut_again_and_no_other(workplace: Workplace, config: Path, folder: Path) -> None:
    before = {row["id"]: row for row in read_jsonl(workplace.root / SEGMENTS)}
    replaced, other = sorted(folder.rglob("*.mp4"))[:2]
    replaced.unlink()
    shutil.copyfile(other, replaced)
    # One by one, as after an interruption: the records do not change, and must not be all that the cuts depend on.
    for targets in (["download", "--forcerun", "finish_download"], [RECORDS], ["segments"]):
        outcome = workplace.run(config, *targets)
        assert outcome.status == 0, outcome.text
    after = {row["id"]: row for row in read_jsonl(workplace.root / SEGMENTS)}
    changed = [name for name, row in after.items() if row != before[name]]
    assert len(before) == 8 and len(changed) == 1 and replaced.stem.replace("_", "-") in changed[0]
