"""Trackio itself on what its tracker keeps of a training that was killed and went on."""

import json
import os
import subprocess
from pathlib import Path

from support.entry_points import ROOT

from nep.train.runtime.metrics import StepLog

SCRIPT = Path(__file__).with_name("track_with_trackio.py")
STEPS = 8


def track(run: Path, kept: int, end: int, out: Path) -> None:
    """One start of the training."""
    command = [str(ROOT / ".venv-trackio/bin/python"), str(SCRIPT), str(run), str(kept), str(end), str(out)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "scripts"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr


def test_trackio_has_each_step_of_a_killed_training_once(tmp_path: Path) -> None:
    run = tmp_path / "demo"
    run.mkdir()
    metrics, validation = (StepLog(run / f"{name}.jsonl", 0, writes=True) for name in ("metrics", "validation"))
    wanted = []
    for step in range(1, STEPS + 1):
        metrics.write({"step": step, "loss": 2.0 / step, "grad_norm": None})
        wanted.append({"step": step, "metrics/loss": 2.0 / step})
        if step % 4 == 0:
            validation.write({"step": step, "loss": 3.0 / step})
            wanted.append({"step": step, "validation/loss": 3.0 / step})
    found = tmp_path / "found.json"
    track(run, 0, 5, found)
    assert not found.exists(), "killed before its end"
    track(run, 4, STEPS, found)
    assert (run / "trackers/trackio/demo.db").is_file()
    rows = json.loads(found.read_text())
    assert [{name: row[name] for name in row if name != "timestamp"} for row in rows] == wanted
