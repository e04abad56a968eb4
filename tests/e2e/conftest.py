"""One uninterrupted run of the small configuration, which all end-to-end tests share and none changes."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import pytest
from filelock import FileLock
from support.workflow import ROOT, Workplace

from nep.jobs.store import VARIABLE


@dataclass(frozen=True)
class FinishedRun:
    """A run that has ended well: a copy of its workplace, its configuration file there, the original's results, and the
    store that the original has filled."""

    workplace: Workplace
    config: Path
    original: Path
    store: Path

    @property
    def folder(self) -> Path:
        """The run's results."""
        return self.workplace.root / "results" / "small"


@pytest.fixture(scope="session")
def small_run(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> FinishedRun:
    """This process's own copy of the run, which the first one that needs it makes."""
    temporary = tmp_path_factory.getbasetemp()
    shared = (temporary if worker_id == "master" else temporary.parent) / "small_run"
    original, store, said = Workplace(shared / "workplace"), shared / "store", shared / "said.txt"
    with FileLock(f"{shared}.lock"):
        if not shared.exists():
            store.mkdir(parents=True, mode=0o770)
            Workplace.make(original.root)
            with mock.patch.dict(os.environ, {VARIABLE: str(store)}):
                outcome = original.run(original.configure("small"))
            said.write_text(f"ended with status {outcome.status}\n{outcome.text}", encoding="utf-8")
        assert said.read_text(encoding="utf-8").startswith("ended with status 0\n"), said.read_text(encoding="utf-8")
    own = original.copy(tmp_path_factory.mktemp("small") / "workplace")
    return FinishedRun(own, own.root / "config.yaml", original.root / "results" / "small", store)


@pytest.fixture
def copy_of_small_run(small_run: FinishedRun, tmp_path: Path) -> Workplace:
    """The finished run in a folder that the test may change."""
    return small_run.workplace.copy(tmp_path / "copy")


@pytest.fixture
def workplace(tmp_path: Path) -> Workplace:
    return Workplace.make(tmp_path / "workplace")


@pytest.fixture
def hub(tmp_path: Path) -> Callable[..., Path]:
    """Makes a small data set in the hub's layout, for the test to damage."""
    from nep.config.demo_videos import DemoVideos
    from nep.data.prompts import load_prompts
    from nep.demo.hub_layout import write_demo_hub

    def make() -> Path:
        folder = tmp_path / "hub"
        spec = DemoVideos(train=6, test=2, archives=2, size=56, fps=8, processes=1)
        write_demo_hub(spec, load_prompts(ROOT / "config/prompts.yaml"), 1, folder)
        return folder

    return make
