import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.entry_points import ROOT

from nep.workflow.lock import LOCK_FILE, held_as_job, hold_as_run

HOLDER = """
import sys, time
from pathlib import Path
from nep.workflow.lock import held_as_job, hold_as_run
with {"run": hold_as_run, "job": held_as_job}[sys.argv[1]](Path(sys.argv[2])):
    print("held", flush=True)
    time.sleep(60)
"""

SNAKEFILE = """
import sys
sys.path.insert(0, SCRIPTS)
from pathlib import Path
from nep.workflow.lock import hold_as_run
if workflow.is_main_process:
    RUN_LOCK = hold_as_run(Path(".snakemake"))

rule all:
    input: "last.txt"

rule slow:
    output: "slow.txt"
    shell: "echo half > {output}; while [ -e wait ]; do sleep 0.05; done; echo whole > {output}"

rule last:
    input: "slow.txt"
    output: "last.txt"
    shell: "cp {input} {output}"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A `.snakemake` folder in which a run on this machine was killed."""
    folder = tmp_path / ".snakemake"
    hold_as_run(folder).close()
    leave_lock_files(folder)
    return folder


def leave_lock_files(folder: Path) -> None:
    (folder / "locks").mkdir(exist_ok=True)
    for name in ("0.input.lock", "0.output.lock"):
        (folder / "locks" / name).write_text("a.txt\n")


def lock_files(folder: Path) -> int:
    return len(list((folder / "locks").glob("*.lock")))


@pytest.fixture
def holder(folder: Path, request: pytest.FixtureRequest) -> Iterator[subprocess.Popen]:
    command = [sys.executable, "-c", HOLDER, request.param, str(folder)]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "scripts")}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout.readline() == "held\n"
        leave_lock_files(folder)
        yield process
        process.kill()


def test_lock_files_of_a_dead_run_are_cleared(folder: Path) -> None:
    with hold_as_run(folder):
        assert lock_files(folder) == 0


@pytest.mark.parametrize("holder", ["run", "job"], indirect=True)
def test_lock_files_stay_while_a_run_or_one_of_its_jobs_lives(folder: Path, holder: subprocess.Popen) -> None:
    with hold_as_run(folder):
        assert lock_files(folder) == 2
    holder.kill()
    holder.wait()
    with hold_as_run(folder):
        assert lock_files(folder) == 0


def test_lock_files_of_another_machine_stay(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "elsewhere")
    with hold_as_run(folder):
        assert lock_files(folder) == 2
    for path in (folder / "locks").glob("*.lock"):
        path.unlink()
    with hold_as_run(folder):
        assert (folder / LOCK_FILE).read_text() == "elsewhere"


def test_lock_files_of_unknown_origin_stay(tmp_path: Path) -> None:
    leave_lock_files(tmp_path)
    with hold_as_run(tmp_path):
        assert lock_files(tmp_path) == 2


def test_a_job_without_a_run_holds_nothing(tmp_path: Path) -> None:
    with held_as_job(tmp_path / ".snakemake"):
        assert not (tmp_path / ".snakemake").exists()


def start_workflow(folder: Path) -> subprocess.Popen:
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--rerun-incomplete", "--quiet"]
    return subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} was not made"
        time.sleep(0.05)


def test_killed_workflow_completes_when_started_again(tmp_path: Path) -> None:
    (tmp_path / "Snakefile").write_text(SNAKEFILE.replace("SCRIPTS", repr(str(ROOT / "scripts"))))
    (tmp_path / "wait").touch()
    first = start_workflow(tmp_path)
    wait_for(tmp_path / "slow.txt")
    second = start_workflow(tmp_path)
    assert "cannot be locked" in second.communicate(timeout=60)[0], "a living run keeps its lock"

    os.killpg(first.pid, signal.SIGKILL)
    first.communicate(timeout=60)
    (tmp_path / "wait").unlink()
    assert (tmp_path / "slow.txt").read_text() == "half\n"
    again = start_workflow(tmp_path)
    output = again.communicate(timeout=60)[0]
    assert again.returncode == 0, output
    assert (tmp_path / "last.txt").read_text() == "whole\n"
