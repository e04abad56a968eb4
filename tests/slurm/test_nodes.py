"""The launcher on two nodes: they meet, and one failing process ends the job with its own message first."""

import subprocess
import sys
from pathlib import Path

from support.entry_points import ROOT

from local_slurm.cluster import LocalCluster

LIMIT_S = 400
MEET = """
import os, sys
import torch, torch.distributed as dist

dist.init_process_group("gloo")
total = torch.ones(1)
dist.all_reduce(total)
print(f"{os.environ['SLURMD_NODENAME']}: rank {dist.get_rank()} of {int(total)}", flush=True)
"""
FAIL = """
if dist.get_rank() == 1:
    raise RuntimeError("the reason")
dist.barrier()
"""


def launch(cluster: LocalCluster, folder: Path, script: str) -> subprocess.CompletedProcess[str]:
    worker = folder / "worker.py"
    worker.write_text(MEET + script)
    launcher = [sys.executable, "scripts/launch_training.py", "--nproc_per_node", "1", "--nnodes", "2", str(worker)]
    srun = ["srun", "--nodes=2", "--ntasks=2", "--mem=2000", "--kill-on-bad-exit=1"]
    environment = {**cluster.environment, "PYTHONPATH": "scripts"}
    return subprocess.run(
        [*srun, *launcher], cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=LIMIT_S
    )


def test_the_processes_of_two_nodes_meet(cluster: LocalCluster, tmp_path: Path) -> None:
    done = launch(cluster, tmp_path, "")
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.splitlines()) == ["n1: rank 0 of 2", "n2: rank 1 of 2"]


def test_one_failing_process_ends_the_job_and_is_heard_first(cluster: LocalCluster, tmp_path: Path) -> None:
    done = launch(cluster, tmp_path, FAIL)
    assert done.returncode != 0
    before, message, _ = done.stderr.partition("RuntimeError: the reason")
    assert message and before.count("Traceback") == 1, done.stderr
