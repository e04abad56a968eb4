"""An environment from PyPI for each file of `envs/`, and runs in which every rule's job has only its own one."""

import json
import os
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path

from support.entry_points import ROOT
from support.environments import pip_section
from support.workflow import Outcome

RECORDER = ROOT / "tests/envs/recorder"
# Snakemake gives a rule's commands to the program that its resource `shell_exec` names.
SHELL = """#!/bin/bash
export PATH={bin}:$PATH PYTHONPATH={recorder} NEP_NOTES={notes}
exec /bin/bash "$@"
"""


@dataclass(frozen=True)
class Run:
    """Runs of the workflow with one environment a rule, and what their Python processes noted."""

    outcome: Outcome
    of_plain_videos: Outcome
    notes: Path

    def scripts(self, environment: Path) -> set[str]:
        """Names of the scripts that ran in an environment."""
        notes = [json.loads(file.read_text(encoding="utf-8")) for file in self.notes.iterdir()]
        return {note["script"] for note in notes if Path(note["prefix"]) == environment}


def make(env: Path, folder: Path) -> Path:
    """Install the pins of an environment file in `.venv-env-<name>`; nothing is done where that is current."""
    pins = folder / f"{env.stem}.txt"
    pins.write_text("\n".join(pip_section(env)) + "\n", encoding="utf-8")
    target = f".venv-env-{env.stem}"
    done = subprocess.run(
        [ROOT / "tools/setup_environment.sh", target, pins], capture_output=True, text=True, check=False, timeout=900
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return ROOT / target


def write_shell(folder: Path, programs: Path, notes: Path) -> Path:
    """A `bash` whose commands find an environment's programs first; Snakemake knows it by this name."""
    folder.mkdir()
    shell = folder / "bash"
    values = {"bin": programs, "recorder": RECORDER, "notes": notes}
    shell.write_text(SHELL.format(**{key: shlex.quote(os.fspath(value)) for key, value in values.items()}))
    shell.chmod(0o755)
    return shell
