"""`make slurm-demo`: a Slurm of its own, and the profile as it is, up to a stage that takes seconds."""

import os
import subprocess
import sys
from pathlib import Path

from support.workflow import ROOT, Workplace

LIMIT_S = 400
RULES = ("make_demo_data", "parse_records")


def test_the_shipped_profile_runs_on_a_slurm_of_its_own(tmp_path: Path) -> None:
    place = Workplace.make(tmp_path / "workplace")
    (place.root / "slurm").symlink_to("profiles/slurm")
    config = place.configure("small")
    command = [sys.executable, ROOT / "tools/slurm_demo.py", "parse_records", "--configfile", str(config)]
    done = subprocess.run(
        command,
        cwd=place.root,
        env={**os.environ, "PYTHONPATH": "scripts"},
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT_S,
    )
    assert done.returncode == 0, done.stderr
    run = place.root / "results" / "small"
    assert (run / "records" / "records.jsonl").is_file()
    assert {log.name.partition(".slurm-")[0] for log in (run / "logs").glob("*.slurm-*.log")} == set(RULES)
