"""Several processes under the launcher: a signal reaches all of them, and their exit status comes back."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nep.cli import EXIT_BAD_INPUT
from nep.train.runtime.launcher import place_in_job
from nep.train.runtime.preemption import EXIT_RESUME

ROOT = Path(__file__).parents[4]
TIMEOUT_S = 120
WAITS_FOR_A_SIGNAL = """
import os, sys, time
from pathlib import Path
from nep.train.runtime import preemption

preemption.listen()
Path(sys.argv[1], os.environ["RANK"]).touch()
while not preemption.is_requested():
    time.sleep(0.01)
# Longer than one look of the agent: a process that ends first must not take the others with it.
time.sleep(1.0 * int(os.environ["RANK"]))
Path(sys.argv[1], os.environ["RANK"]).write_text("ended by itself")
raise preemption.Preempted
"""


def launch(folder: Path, script: str) -> subprocess.Popen[bytes]:
    worker = folder / "worker.py"
    worker.write_text(f"import sys\nsys.path.insert(0, {str(ROOT / 'scripts')!r})\n{script}")
    arguments = ["--standalone", "--nproc_per_node", "2", str(worker), str(folder)]
    return subprocess.Popen([sys.executable, "scripts/launch_training.py", *arguments], cwd=ROOT)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_reaches_all_processes_and_ends_in_status_75(tmp_path: Path, number: int) -> None:
    launcher = launch(tmp_path, WAITS_FOR_A_SIGNAL)
    deadline = time.monotonic() + TIMEOUT_S
    while not all((tmp_path / rank).exists() for rank in "01") and time.monotonic() < deadline:
        time.sleep(0.01)
    launcher.send_signal(number)
    assert launcher.wait(TIMEOUT_S) == EXIT_RESUME
    assert [(tmp_path / rank).read_text() for rank in "01"] == ["ended by itself"] * 2


def test_another_status_comes_back_as_it_is(tmp_path: Path) -> None:
    assert launch(tmp_path, f"sys.exit({EXIT_BAD_INPUT})").wait(TIMEOUT_S) == EXIT_BAD_INPUT


def test_the_launchers_of_one_srun_meet_where_it_was_called() -> None:
    job = {"SLURM_JOB_ID": "10007", "SLURM_PROCID": "1", "SLURM_LAUNCH_NODE_IPADDR": "10.0.0.1"}
    place = place_in_job(job)
    assert place == ["--node_rank", "1", "--master_addr", "10.0.0.1", "--master_port", "20007"]
