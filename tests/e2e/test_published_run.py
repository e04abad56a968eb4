"""A run that was published: loaded by `datasets`, and another run's data and base model by its name alone."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from huggingface_hub import HfApi
from support.workflow import Workplace
from support.writable_hub import WRITER, Account, WritableHub

from nep.files import read_json, read_jsonl, sha256_of_file
from nep.publish.licence import Licence
from nep.publish.stage import Order, publish

pytestmark = pytest.mark.e2e

READ = ("records/records.jsonl", "models/base.manifest.json")
LOAD = """
import json
from datasets import get_dataset_config_names, load_dataset
rows = load_dataset("ada/lamps", "next_event", split="train")
videos = load_dataset("ada/lamps", "videos", split="whole")
shown = load_dataset("ada/lamps-benchmark", "videos", split="whole")
first = videos[0]
frames = first["video"].get_frames_played_in_range(0, first["split_time"])
print(json.dumps({
    "names": get_dataset_config_names("ada/lamps"),
    "rows": list(rows),
    "videos": videos.remove_columns("video")[:],
    "frames": len(frames.data),
    "shown": shown["path"][:],
}))
"""


def test_a_published_run_is_loaded_and_continued_by_its_name(
    copy_of_small_run: Workplace, workplace: Workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = copy_of_small_run.root / "results/small"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    with WritableHub({WRITER: Account("ada")}) as hub:
        api = HfApi(endpoint=hub.url, token=WRITER)
        order = Order("all", "ada/lamps", Licence("cc-by-4.0"), with_videos=True)
        records = {path.stem: read_json(path) for path in publish(run, order, api, print)}
        for name, value in {"HF_ENDPOINT": hub.url, "HF_TOKEN": WRITER, "HF_HOME": str(tmp_path / "hf")}.items():
            monkeypatch.setenv(name, value)
        loaded = json.loads(subprocess.check_output([sys.executable, "-c", LOAD], text=True))
        again = workplace.configure(
            "small",
            run="again",
            source={**records["data"]["configuration"]["source"], "path": None},
            model={**records["model-nep-grpo"]["configuration"]["model"], "path": None},
        )
        outcome = workplace.run(again, *(f"results/again/{name}" for name in READ))
        plan = workplace.run(again, "results/again/nep/sft/manifest.json", "--dry-run")
    assert outcome.status == 0, outcome.text
    assert plan.status == 0 and plan.planned()["train_sft"] == 1, plan.text
    assert "parse_records" not in plan.planned()
    assert loaded["rows"] == read_json(run / "convert/sft/next_event.json")
    assert {"futurebench", "next_event_mc", "videos"} <= set(loaded["names"])
    known = {row["video"]: row for row in read_jsonl(run / "records/records.jsonl")}
    assert loaded["videos"]["path"] == sorted(known)
    assert loaded["videos"]["split_time"] == [known[path]["split_time"] for path in sorted(known)]
    cuts = {row["id"]: row["first"]["frames"] for row in read_jsonl(run / "split/manifest.jsonl")}
    assert loaded["frames"] == cuts[loaded["videos"]["video_id"][0]]
    assert len(loaded["shown"]) == 4

    made = workplace.root / "results/again"
    for name in ("records/records.jsonl", "records/questions.jsonl"):
        assert sha256_of_file(made / name) == sha256_of_file(run / name), name
    assert read_json(made / "models/base.manifest.json") == {
        key: read_json(run / "nep/grpo/manifest.json")[key] for key in ("files", "fingerprint", "parameters")
    }
