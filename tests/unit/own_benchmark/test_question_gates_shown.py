"""The table of gates in docs/annotation.md is the recorded one."""

import os
import subprocess
import sys

from support.entry_points import ROOT


def test_the_gates_of_questions_shown_are_the_recorded_ones() -> None:
    script = [sys.executable, "benchmarks/question_gates.py", "--show"]
    environment = {**os.environ, "PYTHONPATH": "scripts:tests"}
    done = subprocess.run(script, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.count("\n") > 10
    assert done.stdout.strip() in (ROOT / "docs/annotation.md").read_text(encoding="utf-8")
