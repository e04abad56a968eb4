"""Each rule runs in an environment that has the pins of its `envs/*.yaml` and nothing else."""

import json
import subprocess
from pathlib import Path

import pytest
from support.entry_points import ROOT
from support.environments import ENVS, entry_points, scripts_of
from support.own_environments import Run

from environment_pins import normalised, pins

NAMES = [env.stem for env in ENVS]
# What every virtual environment of tools/setup_environment.sh begins with; conda's has pip and setuptools too.
TOOLS = {"pip", "setuptools", "uv"}


@pytest.mark.parametrize("name", NAMES)
def test_the_pins_are_all_that_the_index_installs(name: str, made: dict[str, Path]) -> None:
    command = [made[name] / "bin/uv", "pip", "list", "--format", "json", "--python", made[name] / "bin/python"]
    listed = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    installed = {normalised(package["name"]): package["version"] for package in listed}
    pinned = pins((ROOT / f"envs/{name}.yaml").read_text(encoding="utf-8"))
    surplus = installed.keys() - pinned.keys() - TOOLS
    assert not surplus, "run make requirements"
    assert {package: installed.get(package) for package in pinned} == pinned


def test_the_workflow_runs_with_one_environment_a_rule(run: Run) -> None:
    assert run.outcome.status == 0, run.outcome.text[-8000:]
    assert run.of_plain_videos.status == 0, run.of_plain_videos.text[-8000:]


@pytest.mark.parametrize("name", NAMES)
def test_an_environment_ran_the_scripts_of_its_rules_and_no_other(name: str, run: Run, made: dict[str, Path]) -> None:
    ran = run.scripts(made[name])
    assert scripts_of(name) <= ran
    assert not ran & (set(entry_points().values()) - scripts_of(name))
