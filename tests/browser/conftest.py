"""One browser for all tests, and pages of a synthetic run."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver.chrome.webdriver import WebDriver
from support.chromium import chromium
from support.synthetic_run import SyntheticRun

from nep.config.whole import load_config
from nep.report.collect import collect_run
from nep.report.page import write_report

EXPERIMENTS = {"next_event": ("sft", "grpo"), "mix": ("sft",)}


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebDriver]:
    with chromium(tmp_path_factory.mktemp("chromium")) as driver:
        yield driver


@pytest.fixture(scope="session")
def wide_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a run with several benchmarks and a model that was not trained here."""
    synthetic = SyntheticRun(experiments=EXPERIMENTS, videos=2, others=True, references=("large",))
    root = synthetic.write(tmp_path_factory.mktemp("wide"))
    config = {**synthetic.config, "report": {"examples": 6}}
    write_report(collect_run(root, load_config(config)), root / "report")
    return root / "report" / "index.html"


@pytest.fixture(scope="session")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a run with two experiments and twelve samples."""
    synthetic = SyntheticRun(experiments=EXPERIMENTS)
    root = synthetic.write(tmp_path_factory.mktemp("run"))
    config = {**synthetic.config, "report": {"examples": 12}}
    write_report(collect_run(root, load_config(config)), root / "report")
    return root / "report" / "index.html"
