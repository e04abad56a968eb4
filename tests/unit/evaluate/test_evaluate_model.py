"""A real run of lmms-eval on a random model: every question has a sample in every task, twice the same."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from support.chat_server import ChatServer
from support.evaluation_run import question

from nep.evaluate.controls import make_controls
from nep.files import read_json, read_jsonl
from nep.rows.base import write_rows
from nep.stats.answers import parse_answer, parse_legacy
from nep.video.tools import run_ffmpeg

pytestmark = pytest.mark.e2e

EVALUATE = {
    "device": "cpu",
    "batch_size": 4,
    "controls": ["shuffled_frames", "text_only"],
    "max_new_tokens": {"direct": 2, "reason": 12},
}
ONE_TASK = {"device": "cpu", "variants": ["reason"], "controls": [], "max_new_tokens": {"reason": 12}}
LABELS = [
    *("direct", "reason"),
    *("direct_shuffled_frames", "reason_shuffled_frames"),
    *("direct_text_only", "reason_text_only"),
]


def evaluation_command(run_dir: Path, out: Path, evaluate: dict[str, Any], **model: object) -> list[str]:
    options = {
        "--model-name": out.name,
        "--questions": run_dir / "convert/futurebench.jsonl",
        "--controls-dir": run_dir / "evaluate/controls",
        "--prompts": "config/prompts.yaml",
        "--vision": json.dumps({"frames": 8, "max_pixels": 3136}),
        "--encode": "{}",
        "--evaluate": json.dumps(evaluate),
        "--seed": 0,
        "--run-dir": run_dir,
        "--out-dir": out,
        **{f"--{name.replace('_', '-')}": value for name, value in model.items()},
    }
    words = [str(word) for pair in options.items() for word in pair]
    return [sys.executable, "scripts/evaluate_model.py", *words]


def evaluate(
    run_dir: Path, model: Path, out: Path, settings: dict[str, Any] = EVALUATE, **options: object
) -> subprocess.CompletedProcess[str]:
    manifest = run_dir / "models/base.manifest.json"
    command = evaluation_command(run_dir, out, settings, model_dir=model, model_manifest=manifest, **options)
    # A GPU that this machine may have is not seen.
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_a_model_that_is_to_run_on_cuda_never_runs_on_the_cpu(run_dir: Path, tiny_checkpoint: Path):
    out = run_dir / "evaluate/no_gpu"
    done = evaluate(run_dir, tiny_checkpoint, out, {**ONE_TASK, "device": "cuda"})
    assert done.returncode == 2
    assert "error: evaluate.device is 'cuda', but CUDA cannot be used: torch" in done.stderr
    assert "set it to cpu" in done.stderr and "Traceback" not in done.stderr
    assert not list(run_dir.rglob("lmms_eval.log"))


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
    assert report["model"] == "first"
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

    check = report["cache_check"]
    assert check["same_tokens"]
    assert check["same_choice"]
    # bf16, which lmms-eval's wrapper computes in, has eight bits.
    assert check["largest_difference"] <= 2**-7 * check["largest_logit"]

    again = read_json(run / "evaluate/again/scores.json")
    assert {**again, "model": "first"} == report
    assert (run / "evaluate/first/samples.jsonl").read_bytes() == (run / "evaluate/again/samples.jsonl").read_bytes()


def test_two_processes_with_our_wrapper_answer_as_one_with_lmms_evals_and_a_failure_is_an_outcome(
    run_dir: Path, tiny_checkpoint: Path
):
    # Such an image has no size within the budget: qwen_vl_utils raises an error at it, and so do we.
    run_ffmpeg(["-v", "error", "-f", "lavfi", "-i", "color=s=402x2:r=12:d=1", str(run_dir / "segments/first/v2.mp4")])
    write_rows(run_dir / "convert/futurebench.jsonl", [question(number) for number in range(5)])
    Image.new("RGB", (60, 40), "red").save(run_dir / "now.png")
    seed = {"kind": "l2", "video": None, "image": "now.png"}
    write_rows(run_dir / "convert/seedbench_r1.jsonl", [question(7, **seed), question(8, **{**seed, "kind": "l1"})])
    settings = {**ONE_TASK, "tasks": ["futurebench", "seedbench_r1_l2"], "max_failed_fraction": 0.2}

    for name, processes in (("one", 1), ("two", 2)):
        seedbench = run_dir / "convert/seedbench_r1.jsonl"
        out = run_dir / "evaluate" / name
        done = evaluate(run_dir, tiny_checkpoint, out, settings, processes=processes, seedbench=seedbench)
        assert done.returncode == 0, done.stderr
        assert f"{name}, futurebench, question q4: " in done.stderr

    one, two = (read_jsonl(run_dir / "evaluate" / name / "samples.jsonl") for name in ("one", "two"))
    assert [row["question_id"] for row in one] == ["q0", "q1", "q2", "q3", "q4", "q7"]
    # lmms-eval's wrapper resizes images twice: they are not compared.
    assert [row["completion"] for row in two[:5]] == [row["completion"] for row in one[:5]]
    assert all(row["completion"] for row in one if row["question_id"] != "q4")
    failed = next(row for row in one if row["question_id"] == "q4")
    assert (failed["completion"], failed["parsed"], failed["correct"]) == ("", None, False)
    assert "ValueError" in failed["error"]
    scores = {name: read_json(run_dir / "evaluate" / name / "scores.json") for name in ("one", "two")}
    assert scores["one"]["settings"]["wrapper"] == "qwen2_5_vl"
    assert scores["two"]["settings"]["wrapper"] == "nep_family"
    for content in scores.values():
        found = [row for row in content["scores"] if row["split"] == "overall"]
        assert [(row["task"], row["variant"], row["n"], row["failed"]) for row in found] == [
            ("futurebench", "reason", 5, 1),
            ("futurebench", "reason_legacy", 5, 1),
            ("seedbench_r1_l2", "reason", 1, 0),
            ("seedbench_r1_l2", "reason_legacy", 1, 0),
        ]


def test_a_model_behind_an_api_is_a_reference(run_dir: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("REFERENCE_KEY", "secret")
    with ChatServer(lambda prompt: "<answer>B</answer>" if "Which lamp" in prompt else "") as server:
        endpoint = {"url": server.url, "model": "large", "key_from": "REFERENCE_KEY"}
        out = run_dir / "evaluate/large"
        command = evaluation_command(run_dir, out, ONE_TASK, endpoint=json.dumps(endpoint))
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert server.keys == {"Bearer secret"}
    assert {len(images) for images in server.images} == {8}, "every question brings the frames of its clip"
    samples = read_jsonl(out / "samples.jsonl")
    assert [row["parsed"] for row in samples] == ["B"] * 4
    report = read_json(out / "scores.json")
    assert report["settings"]["wrapper"] == "openai"
    assert report["cache_check"] is None
    assert "secret" not in (out / "scores.json").read_text()


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
    manifest = run_with_controls / "models/base.manifest.json"
    model = {"model_dir": tiny_checkpoint, "model_manifest": manifest}
    with subprocess.Popen(evaluation_command(run_with_controls, tmp_path / "out", EVALUATE, **model)) as parent:
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
