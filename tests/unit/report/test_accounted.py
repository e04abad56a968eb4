"""What Slurm's accounting says of a run is on its page; a cluster without accounting leaves it out and says so."""

from dataclasses import replace
from pathlib import Path

import pytest
from support.html_page import Page
from support.synthetic_run import SyntheticRun

from nep.config.whole import load_config
from nep.report.collect import Run, collect_run
from nep.report.page import render_page
from nep.slurm.costs import costs

LISTING = (Path(__file__).parents[1] / "slurm" / "sacct.txt").read_text(encoding="utf-8")


@pytest.fixture
def run(tmp_path: Path) -> Run:
    synthetic = SyntheticRun(videos=1)
    return collect_run(synthetic.write(tmp_path / "run"), load_config(synthetic.config))


def test_gpu_hours_and_memory_by_rule(run: Run) -> None:
    accounted = costs(LISTING.replace("|29|58|", "|3600|7200|"), Path("/home/user/nep"))
    text = Page(render_page(replace(run, accounted=accounted))).text
    assert "Rule Jobs Starts Hours GPU hours CPU hours Peak memory" in text
    assert "train sft 1 2 1.00 2.01 2.01 329 MB" in text
    assert "fill 1 1 0.05 – 0.05 604 MB" in text


def test_a_run_without_slurm_shows_none(run: Run) -> None:
    assert "By Slurm's accounting" not in Page(render_page(run)).text


def test_a_cluster_without_accounting_is_noted(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    synthetic = SyntheticRun(videos=1)
    root = synthetic.write(tmp_path / "run")
    (root / "logs").mkdir(exist_ok=True)
    (root / "logs" / "train_sft.slurm-7.log").touch()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert collect_run(root, load_config(synthetic.config)).accounted == []
    assert "report: no sacct found" in capfd.readouterr().err
