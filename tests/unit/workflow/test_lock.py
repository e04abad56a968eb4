import fcntl
import json
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

from nep.workflow.lock import LockedError, RunLock, clear_left_lock_files, held_as_job, standing

HOLDER = """
import sys, time
from pathlib import Path
from nep.workflow.lock import RunLock, held_as_job
folder = Path(sys.argv[2])
if sys.argv[1] == "run":
    lock = RunLock(folder, "demo")
    print("held", flush=True)
    time.sleep(60)
with held_as_job(folder):
    print("held", flush=True)
    time.sleep(60)
"""

SNAKEFILE = """
import atexit, sys
sys.path.insert(0, SCRIPTS)
from pathlib import Path
from nep.workflow.lock import RunLock, clear_left_lock_files
if workflow.is_main_process:
    clear_left_lock_files(Path(".snakemake"))

onstart:
    atexit.register(RunLock(Path(".snakemake"), config["run"]).release)

rule all:
    input: f"{config['run']}/last.txt"

rule slow:
    output: "{run}/slow.txt"
    shell: "echo half > {output}; while [ -e wait ]; do sleep 0.05; done; echo whole > {output}"

rule last:
    input: "{run}/slow.txt"
    output: "{run}/last.txt"
    shell: "cp {input} {output}"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A `.snakemake` folder in which the run `demo` ended."""
    folder = tmp_path / ".snakemake"
    RunLock(folder, "demo").release()
    return folder


@pytest.fixture
def holder(folder: Path, request: pytest.FixtureRequest) -> Iterator[subprocess.Popen]:
    """A process that holds the lock of the run `demo` as the run itself or as one of its jobs."""
    command = [sys.executable, "-c", HOLDER, request.param, str(folder)]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "scripts"), "NEP_RUN": "demo"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def end(process: subprocess.Popen) -> None:
    process.kill()
    process.wait()


@pytest.mark.parametrize("holder", ["run"], indirect=True)
def test_a_second_run_of_the_same_name_is_told_who_holds_it(folder: Path, holder: subprocess.Popen) -> None:
    with pytest.raises(LockedError, match=f"'demo' is under way: started by .* \\(process {holder.pid}\\)"):
        RunLock(folder, "demo")
    RunLock(folder, "other").release()
    end(holder)
    lock = RunLock(folder, "demo")
    assert lock.found["process"] == holder.pid, "the run that died is named to the next one"
    lock.release()
    assert RunLock(folder, "demo").found is None


@pytest.mark.parametrize("holder", ["job"], indirect=True)
def test_a_job_that_outlives_its_run_keeps_the_next_one_out(folder: Path, holder: subprocess.Popen) -> None:
    with pytest.raises(LockedError, match="a job that it started still works"):
        RunLock(folder, "demo")
    RunLock(folder, "other").release()
    end(holder)
    RunLock(folder, "demo").release()


def leave_note(folder: Path, **changes: object) -> Path:
    path = folder / "nep/demo/run.lock"
    note = {"user": "ann", "host": socket.gethostname(), "process": 1, "began": "2026-01-01T00:00:00+00:00"}
    path.write_text(json.dumps({**note, **changes}))
    return path


def test_a_run_that_died_on_another_machine_is_explained_and_its_lock_stays(folder: Path) -> None:
    path = leave_note(folder, host="elsewhere")
    with pytest.raises(LockedError, match=rf"started by ann on elsewhere .*if it is dead: rm {path}"):
        RunLock(folder, "demo")
    path.unlink()
    RunLock(folder, "demo").release()


def test_without_kernel_locks_the_process_decides(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", unsupported)
    leave_note(folder, process=os.getpid())
    with pytest.raises(LockedError, match="under way"):
        RunLock(folder, "demo")
    assert standing(folder, "demo")[0] == "under way"
    leave_note(folder, process=2**22 + 1)
    assert standing(folder, "demo")[0] == "died"
    RunLock(folder, "demo").release()


@pytest.mark.parametrize("holder", ["run"], indirect=True)
def test_whoever_looks_sees_whether_a_run_lives_and_disturbs_nobody(folder: Path, holder: subprocess.Popen) -> None:
    state, note = standing(folder, "demo")
    assert (state, note["process"]) == ("under way", holder.pid)
    end(holder)
    state, note = standing(folder, "demo")
    assert (state, note["process"]) == ("died", holder.pid)
    RunLock(folder, "demo").release()
    assert standing(folder, "demo") == ("over", None)
    assert standing(folder, "other") == ("absent", None)
    assert not (folder / "nep/other").exists()
    leave_note(folder, host="elsewhere")
    assert standing(folder, "demo")[0] == "unknown"


def leave_lock_files(folder: Path) -> list[Path]:
    files = [folder / "locks" / name for name in ("0.input.lock", "0.output.lock")]
    for file in files:
        file.parent.mkdir(exist_ok=True, parents=True)
        file.write_text("a.txt\n")
    return files


def test_lock_files_of_snakemake_are_cleared_where_no_run_lives(folder: Path) -> None:
    files = leave_lock_files(folder)
    clear_left_lock_files(folder)
    assert not any(file.exists() for file in files)


@pytest.mark.parametrize("holder", ["run", "job"], indirect=True)
def test_lock_files_of_snakemake_stay_while_a_run_or_a_job_lives(folder: Path, holder: subprocess.Popen) -> None:
    files = leave_lock_files(folder)
    clear_left_lock_files(folder)
    assert all(file.exists() for file in files)


def test_lock_files_of_unknown_origin_stay(tmp_path: Path) -> None:
    files = leave_lock_files(tmp_path)
    clear_left_lock_files(tmp_path)
    leave_note_folder = tmp_path / "nep/demo"
    leave_note_folder.mkdir(parents=True)
    leave_note(tmp_path, host="elsewhere")
    clear_left_lock_files(tmp_path)
    assert all(file.exists() for file in files)


def test_a_job_without_a_run_holds_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NEP_RUN", raising=False)
    with held_as_job(tmp_path / ".snakemake"):
        assert not (tmp_path / ".snakemake").exists()


def start_workflow(folder: Path, run: str, *options: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--rerun-incomplete", "--quiet", *options]
    return subprocess.Popen(
        [*command, "--config", f"run={run}"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} was not made"
        time.sleep(0.05)


@pytest.mark.parametrize(("options", "refusal"), [([], "cannot be locked"), (["--nolock"], "under way: started by")])
def test_killed_workflow_completes_when_started_again(tmp_path: Path, options: list[str], refusal: str) -> None:
    (tmp_path / "Snakefile").write_text(SNAKEFILE.replace("SCRIPTS", repr(str(ROOT / "scripts"))))
    (tmp_path / "wait").touch()
    first = start_workflow(tmp_path, "one", *options)
    wait_for(tmp_path / "one/slow.txt")
    second = start_workflow(tmp_path, "one", *options)
    assert refusal in second.communicate(timeout=60)[0], "a living run keeps its lock"
    assert second.returncode != 0

    os.killpg(first.pid, signal.SIGKILL)
    first.communicate(timeout=60)
    (tmp_path / "wait").unlink()
    assert (tmp_path / "one/slow.txt").read_text() == "half\n"
    again = start_workflow(tmp_path, "one", *options)
    output = again.communicate(timeout=60)[0]
    assert again.returncode == 0, output
    assert (tmp_path / "one/last.txt").read_text() == "whole\n"
    assert (tmp_path / ".snakemake/nep/one/run.lock").read_text() == ""


def test_a_run_that_ends_leaves_the_lock_of_another_one(tmp_path: Path) -> None:
    (tmp_path / "Snakefile").write_text(SNAKEFILE.replace("SCRIPTS", repr(str(ROOT / "scripts"))))
    (tmp_path / "wait").touch()
    long = start_workflow(tmp_path, "long", "--nolock")
    wait_for(tmp_path / "long/slow.txt")
    (tmp_path / "short").mkdir()
    (tmp_path / "short/slow.txt").write_text("whole\n")
    short = start_workflow(tmp_path, "short", "--nolock")
    output = short.communicate(timeout=60)[0]
    assert short.returncode == 0, output
    third = start_workflow(tmp_path, "long", "--nolock")
    assert "under way: started by" in third.communicate(timeout=60)[0]
    (tmp_path / "wait").unlink()
    output = long.communicate(timeout=60)[0]
    assert long.returncode == 0, output
    assert (tmp_path / "long/last.txt").read_text() == "whole\n"
