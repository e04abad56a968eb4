"""`snakemake --profile slurm plan` against a real controller: partitions, and what their nodes have."""

from pathlib import Path
from typing import Any

from support.slurm import slurm_workplace, started

from local_slurm.cluster import LocalCluster

PLAN_S = 600


def plan(cluster: LocalCluster, root: Path, **profile: Any) -> tuple[int, str]:
    """Exit status and text of a plan of the small run with a changed profile."""
    place = slurm_workplace(root, **profile)
    config = place.configure("small")
    with started(cluster, place, "plan", "--configfile", str(config)) as run:
        return run.finish(PLAN_S), run.text


def test_a_profile_that_fits_the_cluster(cluster: LocalCluster, tmp_path: Path) -> None:
    status, text = plan(cluster, tmp_path / "workplace")
    assert status == 0, text
    assert "'main' exists" in text and "PROBLEM" not in text
    assert "2 asked for train_sft nep, 1 processes" in text


def test_what_the_cluster_does_not_have(cluster: LocalCluster, tmp_path: Path) -> None:
    lacking = {
        "train_sft": {"slurm_partition": "nowhere"},
        "train_grpo": {"gpu": 8},
        "evaluate_model": {"mem_mb": 900_000},
    }
    status, text = plan(cluster, tmp_path / "workplace", **{"set-resources": lacking})
    assert status != 0, text
    for problem in (
        "no partition 'nowhere'; there are cancelled, main",
        "train_grpo: asks 8 GPUs of a node",
        "evaluate_model: asks 900000 MB of a node",
    ):
        assert problem in text, text
    assert text.count("Plan of run") == 1, "not tried again"
