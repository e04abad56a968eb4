"""Running the workflow's entry points as the workflow does: a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def run_script(name: str, *arguments: object, **environment: str) -> subprocess.CompletedProcess:
    """Run `scripts/<name>` from the root of the repository; settings of the hub client are not inherited."""
    return _run(ROOT / "scripts" / name, arguments, environment)


def run_tool(name: str, *arguments: object) -> subprocess.CompletedProcess:
    """Run `tools/<name>` as the Makefile does."""
    return _run(ROOT / "tools" / name, arguments, {"PYTHONPATH": "scripts"})


def _run(script: Path, arguments: tuple[object, ...], environment: dict[str, str]) -> subprocess.CompletedProcess:
    command = [sys.executable, str(script), *map(str, arguments)]
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=120, cwd=ROOT, env=inherited | environment
    )
