"""The tables of docs/annotation.md are the recorded ones."""

import os
import subprocess
import sys

from support.entry_points import ROOT


def test_the_gates_shown_are_the_recorded_ones() -> None:
    script = [sys.executable, "benchmarks/annotate_gates.py", "--show"]
    environment = {**os.environ, "PYTHONPATH": "scripts:tests"}
    done = subprocess.run(script, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    page = (ROOT / "docs/annotation.md").read_text(encoding="utf-8")
    gates, faults = done.stdout.strip().split("\n\n")
    assert gates in page and faults in page
