"""lmms-eval's own benchmarks: fetched from a hub, run offline by the released lmms-eval, read into rows."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.benchmark_hub import long_video_bench, mvbench, temporal_bench, video_mme
from support.entry_points import ROOT
from support.evaluation_run import write_clip
from support.hub_server import HubServer

from nep.benchmarks.lmms_tasks import external_tasks
from nep.evaluate.external import left_out_rows, planned_external
from nep.files import read_json, read_jsonl, write_json

pytestmark = pytest.mark.e2e

CONFIGS = [task.config for task in external_tasks("mvbench")]
SERVED = {
    "videomme": video_mme,
    "mvbench": lambda clip: mvbench(clip, CONFIGS),
    "longvideobench_val_v": long_video_bench,
    "temporalbench": temporal_bench,
}
ASKED = ["videomme", "longvideobench_val_v", "temporalbench", "tempcompass"]


@pytest.fixture(scope="module")
def benchmarks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of four benchmarks, fetched by the entry point from a hub on this machine."""
    folder = tmp_path_factory.mktemp("benchmarks")
    write_clip(folder / "clip.mp4", 12)
    for name, files in SERVED.items():
        task = external_tasks(name)[0]
        served = files((folder / "clip.mp4").read_bytes())
        with HubServer("dataset", task.repo, served, revisions=("main", task.revision)) as hub:
            command = [sys.executable, "scripts/fetch_benchmark.py", "--name", name, "--benchmarks", folder / "home"]
            environment = {**os.environ, "HF_ENDPOINT": hub.url}
            subprocess.run([*command, "--out", folder / f"{name}.json"], cwd=ROOT, env=environment, check=True)
        manifest = read_json(folder / f"{name}.json")
        assert (manifest["media"], manifest["configs"]) == (task.media, sorted(CONFIGS) if name == "mvbench" else [])
    return folder / "home"


def test_what_is_left_out_is_answers(tmp_path: Path) -> None:
    run, left_out = planned_external(["futurebench", "videomme", "tempcompass", "temporalbench"], True, tmp_path)
    assert run == []
    reasons = {row.task: row.reason for row in left_out_rows(left_out)}
    assert reasons["tempcompass_captioning"] == "needs a judge model"
    assert "all-MiniLM-L6-v2" in reasons["temporalbench_short_caption"]
    assert reasons["videomme"].startswith("needs a download: data set lmms-eval/Video-MME is not below")
    assert reasons["tempcompass_yes_no"].startswith("needs a download: data set lmms-eval/TempCompass")
    run, _ = planned_external(["temporalbench"], False, tmp_path)
    assert [task.asked_as for task in run][:2] == ["nep_temporalbench_short_qa", "nep_temporalbench_long_qa"]


def test_lmms_eval_runs_them_offline_and_its_figures_are_those_of_the_rows(
    benchmarks: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    # All tasks of MVBench are known to be there; a process for twenty of them would take minutes.
    run, _ = planned_external(["mvbench"], True, benchmarks)
    assert len(run) == 20
    write_json(tmp_path / "base.manifest.json", {"fingerprint": "0" * 64})
    settings = {"tasks": ASKED, "device": "cpu", "batch_size": 4, "controls": [], "benchmarks": str(benchmarks)}
    options = {
        "--model-dir": tiny_checkpoint,
        "--model-name": "base",
        "--model-manifest": tmp_path / "base.manifest.json",
        "--controls-dir": tmp_path,
        "--prompts": "config/prompts.yaml",
        "--vision": json.dumps({"frames": 4, "min_pixels": 784, "max_pixels": 3136}),
        "--encode": "{}",
        "--evaluate": json.dumps(settings),
        "--seed": 0,
        "--run-dir": tmp_path,
        "--out-dir": tmp_path / "out",
    }
    words = [str(word) for pair in options.items() for word in pair]
    command = [sys.executable, "scripts/evaluate_model.py", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "tempcompass_captioning is left out: it needs a judge model" in done.stderr

    scores = read_json(tmp_path / "out/scores.json")
    left_out = {row["task"] for row in scores["left_out"]}
    assert {"tempcompass_captioning", "tempcompass_yes_no", "temporalbench_short_caption"} <= left_out
    found = {(row["task"], row["split"]): row["n"] for row in scores["scores"]}
    assert found == {
        ("videomme", "overall"): 2,
        ("videomme", "short"): 1,
        ("videomme", "long"): 1,
        ("longvideobench_val_v", "overall"): 2,
        ("longvideobench_val_v", "15 s"): 1,
        ("longvideobench_val_v", "600 s"): 1,
        ("longvideobench_val_v", "S2E"): 1,
        ("longvideobench_val_v", "T3O"): 1,
        ("temporalbench", "overall"): 2,
        ("temporalbench", "short_qa"): 1,
        ("temporalbench", "long_qa"): 1,
    }
    samples = read_jsonl(tmp_path / "out/samples.jsonl")
    assert len(samples) == 6
    assert all(row["error"] is None for row in samples), "the videos are found and read"
