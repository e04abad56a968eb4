"""Runs of the workflow through a local Slurm, as a user starts them: `snakemake --profile slurm`."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from support.workflow import Workplace, merged

from local_slurm.cluster import LocalCluster

# Of a tiny cluster: small jobs, no conda, states asked for as often as the plugin can.
HERE = {
    "software-deployment-method": "env-modules",
    "slurm-init-seconds-before-status-checks": 1,
    "slurm-keep-successful-logs": True,
    "latency-wait": 5,
    "default-resources": {"mem_mb": "2000 * attempt", "runtime": "10 * attempt"},
    "set-resources": {
        "encode_shard": {"mem_mb": 4000},
        "train_sft": {"gpu": 2, "mem_mb": "4000 * attempt", "runtime": 30},
        "train_grpo": {"gpu": 1, "mem_mb": "4000 * attempt", "runtime": 30},
        "evaluate_model": {"gpu": 1, "mem_mb": 4000},
    },
}
BETWEEN_LOOKS_S = 0.2


@dataclass(frozen=True)
class Job:
    """What Slurm says of a job."""

    id: str
    state: str
    restarts: int
    comment: str
    memory_mb: int
    minutes: int
    nodes: int
    gpus: str


class SlurmRun:
    """A Snakemake of one workplace on the cluster."""

    def __init__(self, cluster: LocalCluster, workplace: Workplace, command: list[str]) -> None:
        self.cluster = cluster
        self.workplace = workplace
        self._output = workplace.root / f"snakemake-{time.monotonic_ns()}.txt"
        with self._output.open("w") as stream:
            self._process = subprocess.Popen(
                command,
                cwd=workplace.root,
                env=cluster.environment,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def text(self) -> str:
        """What Snakemake has printed."""
        return self._output.read_text(encoding="utf-8")

    def finish(self, seconds: float) -> int:
        """Exit status. Raises AssertionError, after killing Snakemake, where it does not end in time."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(
                f"still running after {seconds} s:\n{self.text}\n{jobs(self.cluster, '', self.workplace)}"
            ) from None

    def kill(self) -> None:
        """SIGKILL to Snakemake alone: its jobs live on."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def wait_until(self, reached: Callable[[], Any], seconds: float) -> Any:
        """The first true value of `reached`. Raises AssertionError where the run ends before, or the time is over."""
        deadline = time.monotonic() + seconds
        while not (value := reached()):
            assert self._process.poll() is None, f"ended too early:\n{self.text}"
            assert time.monotonic() < deadline, (
                f"not reached in {seconds} s:\n{self.text}\n{jobs(self.cluster, '', self.workplace)}"
            )
            time.sleep(BETWEEN_LOOKS_S)
        return value

    def _story(self) -> str:
        return "\n".join([self.text, *map(str, jobs(self.cluster, "", self.workplace))])


def jobs(cluster: LocalCluster, comment: str, place: Workplace) -> list[Job]:
    """A workplace's jobs whose comment (`rule_<name>_wildcards_…`) begins so, in the order of their submission."""
    listing = json.loads(cluster.ask("squeue", "--states=all", "--json"))["jobs"]
    found = [
        Job(
            id=str(row["job_id"]),
            state=row["job_state"],
            restarts=row["restart_cnt"],
            comment=row["comment"],
            memory_mb=row["memory_per_node"] or 0,
            minutes=row["time_limit"],
            nodes=row["node_count"],
            gpus=row["tres_per_job"],
        )
        for row in listing
        if row["current_working_directory"] == str(place.root) and row["comment"].startswith(comment)
    ]
    return sorted(found, key=lambda job: int(job.id))


def slurm_workplace(root: Path, **profile: Any) -> Workplace:
    """A workplace with the Slurm profile, made fit for the local cluster and changed by `profile`."""
    place = Workplace.make(root)
    (root / "slurm").symlink_to("profiles/slurm")
    file = root / "slurm" / "config.yaml"
    values = merged(yaml.safe_load(file.read_text(encoding="utf-8")), merged(HERE, profile))
    file.write_text(yaml.safe_dump(values), encoding="utf-8")
    return place


@contextmanager
def started(cluster: LocalCluster, place: Workplace, *arguments: str) -> Iterator[SlurmRun]:
    """A running `snakemake --profile slurm`, killed at the end of the block if it still runs."""
    run = SlurmRun(cluster, place, [sys.executable, "-m", "snakemake", "--profile", "slurm", *arguments])
    try:
        yield run
    finally:
        run.kill()
