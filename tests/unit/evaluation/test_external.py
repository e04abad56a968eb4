"""lmms-eval's own benchmarks: fetched from a hub, run offline by the released lmms-eval, read into rows."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.benchmark_hub import long_video_bench, mvbench, video_mme
from support.evaluation_run import write_clip
from support.hub_server import HubServer
from support.tiny_checkpoint import tiny_checkpoint  # noqa: F401

from nep.config import Evaluate, Vision
from nep.evaluation.external import (
    external_rows,
    external_surroundings,
    external_tasks,
    planned_external,
    read_external,
)
from nep.evaluation.lmms import model_arguments, surroundings
from nep.files import read_json

NAMES = ("videomme", "mvbench", "longvideobench_val_v")
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def benchmarks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of three benchmarks, fetched by the entry point from a hub on this machine."""
    folder = tmp_path_factory.mktemp("benchmarks")
    write_clip(folder / "clip.mp4", 12)
    clip = (folder / "clip.mp4").read_bytes()
    configs = [task.config for task in external_tasks("mvbench")]
    served = (video_mme(clip), mvbench(clip, configs), long_video_bench(clip))
    for name, files in zip(NAMES, served, strict=True):
        task = external_tasks(name)[0]
        with HubServer("dataset", task.repo, files, revisions=("main", task.revision)) as hub:
            command = [sys.executable, "scripts/fetch_benchmark.py", "--name", name, "--benchmarks", folder / "home"]
            environment = {**os.environ, "HF_ENDPOINT": hub.url, "PYTHONPATH": "scripts"}
            subprocess.run([*command, "--out", folder / f"{name}.json"], cwd=ROOT, env=environment, check=True)
    return folder


def test_what_is_left_out_is_said(tmp_path: Path):
    run, left_out = planned_external(["futurebench", "tempcompass", "temporalbench"], True, tmp_path)
    reasons = {task.task: task.reason for task in left_out}
    assert run == []
    assert reasons["tempcompass_captioning"] == "needs a judge model"
    assert "all-MiniLM-L6-v2" in reasons["temporalbench_short_caption"]
    assert reasons["tempcompass_yes_no"].startswith("needs a download: data set lmms-eval/TempCompass")


def test_lmms_eval_runs_them_offline(benchmarks: Path, tiny_checkpoint: Path, tmp_path: Path):  # noqa: F811
    run, left_out = planned_external(NAMES, True, benchmarks / "home")
    assert left_out == []
    assert len(run) == 22
    tasks = [task for task in run if task.benchmark != "mvbench" or task.config == "action_sequence"]
    evaluate = Evaluate(device="cpu")
    arguments = model_arguments(tiny_checkpoint, Vision(frames=4, min_pixels=784, max_pixels=3136), evaluate)
    options = {
        "--model": "qwen2_5_vl",
        "--model_args": arguments,
        "--tasks": ",".join(task.name for task in tasks),
        "--output_path": str(tmp_path / "out"),
        "--batch_size": "1",
        "--device": "cpu",
        "--process_docs_parallel": "1",
        "--reasoning_tags": "none",
    }
    done = subprocess.run(
        [sys.executable, "-m", "lmms_eval", *(word for pair in options.items() for word in pair), "--log_samples"],
        env=surroundings(tmp_path, evaluate) | external_surroundings(benchmarks / "home", offline=True),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for task in tasks:
        manifest = read_json(benchmarks / f"{task.benchmark}.json")
        assert manifest["media"] == task.media
        # Raises where the samples do not make lmms-eval's own figure.
        samples, stated = read_external(tmp_path / "out", task)
        rows = external_rows(task.benchmark, samples)
        assert len(samples) == (1 if task.benchmark == "mvbench" else 2)
        assert rows[0]["split"] == "overall"
        assert rows[0]["accuracy"] is None or rows[0]["accuracy"] == pytest.approx(stated, abs=1e-3)
        assert sum(row["n"] for row in rows[1:]) == rows[0]["n"] * (2 if task.benchmark.startswith("long") else 1)
