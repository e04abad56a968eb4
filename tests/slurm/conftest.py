"""One local Slurm for all tests, and small workflows on it that can be disturbed."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.entry_points import ROOT
from support.slurm import slurm_workplace
from support.workflow import Workplace

from local_slurm.cluster import LocalCluster, Nodes, local_cluster


@pytest.fixture(scope="session")
def cluster() -> Iterator[LocalCluster]:
    with local_cluster() as running:
        yield running


@pytest.fixture
def accounted_cluster() -> Iterator[LocalCluster]:
    """A cluster of its own, whose jobs are accounted for."""
    with local_cluster(Nodes(accounting=True)) as running:
        yield running


@pytest.fixture
def disturbed(tmp_path: Path) -> Callable[..., Workplace]:
    """Makes a workplace whose Snakefile is the one of `disturbed/`, with changes of the profile."""

    def make(**profile: Any) -> Workplace:
        place = slurm_workplace(tmp_path / "workplace", **profile)
        shutil.copyfile(ROOT / "tests" / "slurm" / "disturbed" / "Snakefile", place.root / "Snakefile")
        return place

    return make
