"""500 short jobs through the Slurm profile on a Slurm of this machine: is Snakemake or Slurm what they wait for?

    PYTHONPATH=scripts .venv/bin/python benchmarks/slurm_throughput.py [--jobs 500]

The profile is the shipped one, without conda; its groups concern other rules, so each job is one of Slurm's. A job
makes an empty file: what it costs are the plugin's two starts of Snakemake on the node, here on the cores that submit.
Times of jobs are Slurm's own. `starved` is the share of the time from the first to the last submission in which fewer
jobs waited or ran than the nodes have cores: then, and only then, the submitter holds Slurm up. Writes
`benchmarks/results/slurm_throughput.json`.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local_slurm.cluster import LocalCluster, Nodes, local_cluster
from measure import ROOT, WORK, write_result

# All jobs stay listed until the end.
NODES = Nodes(cpus=2, memory_mb=600_000, gpus=0, settings={"MinJobAge": "36000"})
SLOTS = NODES.number * NODES.cpus
HERE = ["--software-deployment-method", "env-modules"]
SNAKEFILE = """
import sys
from pathlib import Path

sys.path.insert(0, str(Path(workflow.basedir) / "scripts"))

from nep.workflow import logs
from nep.workflow.path import extend_path

extend_path(Path(workflow.basedir))
logs.announce("logs")


rule all:
    input:
        [f"done/{{number}}" for number in range({jobs})],


rule short:
    output:
        "done/{{number}}",
    shell:
        "touch {{output}}"
"""


@dataclass(frozen=True)
class Times:
    """Of one job, in seconds since the epoch, whole ones as Slurm notes them."""

    submitted: int
    began: int
    ended: int


def main() -> None:
    """Run the jobs, write the result file and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=500)
    jobs = parser.parse_args().jobs
    root = WORK / "throughput"
    make(root, jobs)
    with local_cluster(NODES) as cluster:
        began = time.time()
        usage = run(root, cluster)
        ended = time.time()
        times = of_jobs(cluster)
    done = len(list((root / "done").iterdir()))
    if not done == len(times) == jobs:
        raise RuntimeError(f"{done} files by {len(times)} jobs instead of {jobs}; see {root}/said.txt")
    result = {"jobs": jobs, "slots": SLOTS, "run_s": round(ended - began), **rates(times), **usage}
    result["after_last_job_s"] = round(ended - max(job.ended for job in times), 1)
    print(json.dumps(result, indent=1))
    write_result("slurm_throughput", result)


def make(root: Path, jobs: int) -> None:
    """A folder with the library, the profile, and the Snakefile."""
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    for part in ("scripts", "profiles", "slurm"):
        (root / part).symlink_to(ROOT / part)
    (root / "Snakefile").write_text(SNAKEFILE.format(jobs=jobs), encoding="utf-8")


def run(root: Path, cluster: LocalCluster) -> dict[str, float]:
    """Run Snakemake to its end; processor seconds and memory of it and of what it called, jobs not among them."""
    command = [sys.executable, "-m", "snakemake", "--profile", "slurm", *HERE]
    with (root / "said.txt").open("w") as said:
        process = subprocess.Popen(command, cwd=root, env=cluster.environment, stdout=said, stderr=said)
        _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError(f"status {status}; see {root}/said.txt")
    return {
        "submitter_cpu_s": round(usage.ru_utime + usage.ru_stime, 1),
        "submitter_rss_mib": round(usage.ru_maxrss / 1024, 1),
    }


def of_jobs(cluster: LocalCluster) -> list[Times]:
    """All jobs that Slurm has completed."""
    listed = json.loads(cluster.ask("squeue", "--states=COMPLETED", "--json"))["jobs"]
    return [Times(job["submit_time"], job["start_time"], job["end_time"]) for job in listed]


def rates(times: Sequence[Times]) -> dict[str, Any]:
    """Jobs a second that came in and that were worked on, and the share of time in which Slurm had too few."""
    first, last = min(job.submitted for job in times), max(job.submitted for job in times)
    seconds = range(first, last)
    present = [sum(job.submitted <= now < job.ended for job in times) for now in seconds]
    return {
        "submitted_per_s": round(len(times) / max(last - first, 1), 2),
        "completed_per_s": round(len(times) / (max(job.ended for job in times) - first), 2),
        "most_waiting": max(present) - SLOTS,
        "starved": round(sum(number < SLOTS for number in present) / max(len(present), 1), 4),
    }


if __name__ == "__main__":
    main()
