"""`snakemake --profile slurm plan` against a real controller: partitions, and what their nodes have."""

from pathlib import Path
from typing import Any

import pytest
from support.slurm import slurm_workplace, started

from nep.slurm.local_cluster import LocalCluster

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


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"default-resources": {"slurm_partition": "nowhere"}}, "no partition 'nowhere'; there are cancelled, main"),
        ({"set-resources": {"train_grpo": {"gpu": 8}}}, "train_grpo: asks 8 GPUs of a node"),
        ({"set-resources": {"evaluate_model": {"mem_mb": 900_000}}}, "evaluate_model: asks 900000 MB of a node"),
    ],
)
def test_what_the_cluster_does_not_have(
    cluster: LocalCluster, tmp_path: Path, changes: dict[str, Any], says: str
) -> None:
    status, text = plan(cluster, tmp_path / "workplace", **changes)
    assert status != 0 and says in text, text
    assert text.count("Plan of run") == 1, "not tried again"
