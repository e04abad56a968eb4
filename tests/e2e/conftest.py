"""One uninterrupted run of the small configuration, which all end-to-end tests share and none changes."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.workflow import ROOT, Outcome, Workplace


@dataclass(frozen=True)
class FinishedRun:
    """A run that has ended: its workplace, its configuration file, and what Snakemake said."""

    workplace: Workplace
    config: Path
    outcome: Outcome

    @property
    def folder(self) -> Path:
        """The run's results."""
        return self.workplace.root / "results" / "small"


@pytest.fixture(scope="session")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    workplace = Workplace.make(tmp_path_factory.mktemp("small"))
    config = workplace.configure("small")
    outcome = workplace.run(config)
    assert outcome.status == 0, outcome.text
    return FinishedRun(workplace, config, outcome)


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
