"""The launcher on two nodes: they meet, have their cores, and one failing process ends the job with its own message
first."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.entry_points import ROOT
from support.slurm import slurm_workplace, started

from local_slurm.cluster import LocalCluster, Nodes, local_cluster

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


LOOK = """
import os
from pathlib import Path

Path("cores", os.environ["SLURMD_NODENAME"] + "-" + os.environ["RANK"]).write_text(str(len(os.sched_getaffinity(0))))
"""
# Two processes of one thread on each of two nodes.
WIDE = {"experiments": {"wide": {"sft": {"nodes": 2, "processes": 2, "threads": 1}}}}


@pytest.fixture
def binding_cluster() -> Iterator[LocalCluster]:
    """A cluster that binds tasks to cores, as many do: its nodes have no more of them than this machine."""
    settings = {"TaskPlugin": "task/affinity", "TaskPluginParam": "autobind=cores"}
    with local_cluster(Nodes(cpus=2, settings=settings)) as running:
        yield running


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


def test_each_process_may_use_the_cores_of_its_node(binding_cluster: LocalCluster, tmp_path: Path) -> None:
    place = slurm_workplace(tmp_path / "workplace")
    shutil.copyfile(ROOT / "tests" / "slurm" / "bound" / "Snakefile", place.root / "Snakefile")
    (place.root / "look.py").write_text(LOOK)
    place.configure("small", **WIDE)
    with started(binding_cluster, place) as run:
        assert run.finish(LIMIT_S) == 0, run.text
    seen = {path.name: path.read_text() for path in (place.root / "cores").glob("n*")}
    assert seen == {"n1-0": "2", "n1-1": "2", "n2-2": "2", "n2-3": "2"}
