"""An evaluation by vLLM on the CPU, through lmms-eval: the completions of `hf` on the same clips."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.entry_points import ROOT
from support.evaluation_run import write_run

from nep.files import read_json, read_jsonl

BOTH = {"device": "cpu", "controls": ["text_only"], "max_new_tokens": {"direct": 2, "reason": 16}}
HF = {**BOTH, "backend": "hf", "precision": "fp32", "batch_size": 1}
ENGINE = {"dtype": "float32", "max_model_len": 1024, "enforce_eager": True, "skip_mm_profiling": True}
VLLM = {**BOTH, "backend": "vllm", "model_args": {**ENGINE, "kv_cache_memory_bytes": 1 << 26}}


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """Clips of different lengths, and questions about them."""
    return write_run(tmp_path, (5, 12))


def evaluate(run: Path, model: Path, name: str, settings: dict[str, Any]) -> dict[tuple, str]:
    """Completions by variant, control and question."""
    options = {
        "--model-dir": model,
        "--model-name": name,
        "--model-manifest": run / "models/base.manifest.json",
        "--questions": run / "convert/futurebench.jsonl",
        "--controls-dir": run / "evaluate/controls",
        "--prompts": "config/prompts.yaml",
        "--vision": json.dumps({"frames": 8, "max_pixels": 3136}),
        "--encode": "{}",
        "--evaluate": json.dumps(settings),
        "--vllm-environment": ".venv-vllm",
        "--seed": 0,
        "--run-dir": run,
        "--out-dir": run / "evaluate" / name,
    }
    words = [str(word) for pair in options.items() for word in pair]
    done = subprocess.run(
        [sys.executable, "scripts/evaluate_model.py", *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
    rows = read_jsonl(run / "evaluate" / name / "samples.jsonl")
    return {(row["variant"], row["control"], row["question_id"]): row["completion"] for row in rows}


def test_vllm_gives_the_completions_of_hf(run_dir: Path, tiny_checkpoint: Path) -> None:
    by_vllm = evaluate(run_dir, tiny_checkpoint, "by_vllm", VLLM)
    by_hf = evaluate(run_dir, tiny_checkpoint, "by_hf", HF)
    assert by_vllm == by_hf
    assert len(by_hf) == 4 * 2 * 2
    # The video decides what is said, so that an engine which did not see it would say something else.
    said = {key: text for key, text in by_hf.items() if key[0] == "reason"}
    assert any(text != said[("reason", "text_only", key[2])] for key, text in said.items() if key[1] is None)
    scores = read_json(run_dir / "evaluate/by_vllm/scores.json")
    assert scores["settings"]["wrapper"] == "nep_vllm"
    assert scores["vision"]["frames"] == 8
