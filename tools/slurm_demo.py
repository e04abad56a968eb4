"""Run the workflow with the Slurm profile, as it is, on a Slurm of its own on this machine.

Arguments are those of snakemake. The nodes claim the memory and GPUs that the profile asks for; nothing uses them.
"""

import os
import subprocess
import sys

from local_slurm.cluster import Nodes, local_cluster
from nep.cli import run_entry_point

NODES = Nodes(cpus=os.cpu_count() or 1, memory_mb=600_000, gpus=8)
# Jobs run in this environment, and end within seconds.
HERE = ["--software-deployment-method", "env-modules", "--slurm-init-seconds-before-status-checks", "2"]


def main() -> None:
    """Start the cluster, run Snakemake on it, and exit as it does."""
    with local_cluster(NODES) as cluster:
        command = [sys.executable, "-m", "snakemake", "--profile", "slurm", *HERE, *sys.argv[1:]]
        status = subprocess.run(command, env=cluster.environment, check=False).returncode
    sys.exit(status)


if __name__ == "__main__":
    run_entry_point(main)
