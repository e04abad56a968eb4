"""A real run of lmms-eval on a random model: every question has a sample in every task, twice the same."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nep.evaluation.controls import make_controls
from nep.evaluation.parse import parse_answer, parse_legacy
from nep.files import read_json, read_jsonl

pytestmark = pytest.mark.e2e

EVALUATE = {
    "device": "cpu",
    "batch_size": 4,
    "controls": ["shuffled_frames", "text_only"],
    "max_new_tokens": {"direct": 2, "reason": 12},
}
LABELS = [
    *("direct", "reason"),
    *("direct_shuffled_frames", "reason_shuffled_frames"),
    *("direct_text_only", "reason_text_only"),
]


def evaluation_command(run_dir: Path, model: Path, out: Path) -> list[str]:
    options = {
        "--model-dir": model,
        "--model-name": "base",
        "--model-manifest": run_dir / "models/base.manifest.json",
        "--questions": run_dir / "convert/futurebench.jsonl",
        "--controls-dir": run_dir / "evaluate/controls",
        "--prompts": "config/prompts.yaml",
        "--vision": json.dumps({"frames": 8, "max_pixels": 3136}),
        "--evaluate": json.dumps(EVALUATE),
        "--seed": 0,
        "--run-dir": run_dir,
        "--out-dir": out,
    }
    words = [str(word) for pair in options.items() for word in pair]
    return [sys.executable, "scripts/evaluate_model.py", *words]


def evaluate(run_dir: Path, model: Path, out: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(evaluation_command(run_dir, model, out), capture_output=True, text=True, check=False)


@pytest.fixture
def run_with_controls(run_dir: Path) -> Path:
    out = run_dir / "evaluate/controls/shuffled_frames.json"
    make_controls(run_dir / "convert/futurebench.jsonl", "shuffled_frames", 0, run_dir, 1, out)
    return run_dir


def test_samples_join_scores_and_two_runs_are_the_same_bytes(run_with_controls: Path, tiny_checkpoint: Path):
    run = run_with_controls
    for name in ("first", "again"):
        done = evaluate(run, tiny_checkpoint, run / "evaluate" / name)
        assert done.returncode == 0, done.stderr

    samples = read_jsonl(run / "evaluate/first/samples.jsonl")
    labels = [row["variant"] + (f"_{row['control']}" if row["control"] else "") for row in samples]
    assert labels == [label for label in LABELS for _ in range(4)]
    assert [row["question_id"] for row in samples] == ["q0", "q1", "q2", "q3"] * len(LABELS)
    questions = {row["id"]: row for row in read_jsonl(run / "convert/futurebench.jsonl")}
    for row in samples:
        asked = questions[row["question_id"]]
        assert all(row[key] == asked[key] for key in ("video_id", "kind", "question", "options", "answer"))
        assert row["parsed"] == parse_answer(row["completion"])
        assert row["correct"] == (row["parsed"] == row["answer"])
        assert row["legacy_parsed"] == parse_legacy(row["completion"])
    assert any(row["completion"] for row in samples)

    report = read_json(run / "evaluate/first/scores.json")
    assert report["model"] == "base"
    assert report["fingerprint"] == "0" * 64
    assert report["vision"]["frames"] == 8
    assert report["settings"]["batch_size"] == 4
    overall = {row["variant"]: row for row in report["scores"] if row["split"] == "overall"}
    assert sorted(overall) == sorted([*LABELS, "direct_legacy", "reason_legacy"])
    for label in LABELS:
        members = [row for row, name in zip(samples, labels, strict=True) if name == label]
        assert overall[label]["n"] == 4
        assert overall[label]["accuracy"] == 25.0 * sum(row["correct"] for row in members)
        assert overall[label]["unreadable"] == sum(row["parsed"] is None for row in members)

    for name in ("samples.jsonl", "scores.json"):
        assert (run / "evaluate/first" / name).read_bytes() == (run / "evaluate/again" / name).read_bytes()


def test_a_broken_checkpoint_ends_with_the_log_and_without_results(run_with_controls: Path, tmp_path: Path):
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "config.json").write_text('{"model_type": "qwen2_5_vl"}')

    done = evaluate(run_with_controls, broken, tmp_path / "out")

    assert done.returncode == 2
    assert "error: lmms-eval logged no samples of task nep_futurebench_direct" in done.stderr
    assert "model.safetensors" in done.stderr
    assert "Traceback (most recent call last)" not in done.stderr.split("the end of")[0]
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="the signal on a parent's death is Linux's")
def test_a_killed_evaluation_leaves_no_process_behind(run_with_controls: Path, tiny_checkpoint: Path, tmp_path: Path):
    with subprocess.Popen(evaluation_command(run_with_controls, tiny_checkpoint, tmp_path / "out")) as parent:
        children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children")
        child = wait_for(lambda: children.read_text().split())[0]
        parent.kill()
    assert wait_for(lambda: not Path(f"/proc/{child}").exists())


def wait_for(condition: Callable[[], Any]) -> Any:
    """The condition's first true value within 30 seconds."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.1)
    raise AssertionError("the condition did not become true within 30 s")
