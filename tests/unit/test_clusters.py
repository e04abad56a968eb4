"""The profiles of other clusters ask for what the Slurm profile asks for; what can be run of them without a cluster."""

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from support.entry_points import ROOT

PAGE = (ROOT / "docs" / "clusters.md").read_text(encoding="utf-8")
OTHERS = ("pbs", "lsf")
QSTAT = """#!/bin/sh
cat <<'END'
Job Id: 7.server
    Job_Name = nep
    job_state = {state}
{rest}
END
"""


def read(profile: str) -> dict:
    return yaml.safe_load((ROOT / "profiles" / profile / "config.yaml").read_text(encoding="utf-8"))


def gpus(resources: dict) -> int:
    """GPUs of a rule: a resource of its own, or a word for the scheduler."""
    found = re.search(r"-gpu num=(\d+)", resources.get("lsf_extra", ""))
    return int(found[1]) if found else resources.get("gpu", 0)


def first_attempt(resources: dict, name: str) -> int | None:
    return eval(str(resources.get(name)), {"attempt": 1})


@pytest.mark.parametrize("profile", OTHERS)
def test_rules_ask_for_the_same_as_on_slurm(profile: str) -> None:
    other, slurm = read(profile), read("slurm")
    for key in ("groups", "group-components", "resources", "set-resource-scopes", "jobs", "rerun-incomplete", "nolock"):
        assert other[key] == slurm[key], key
    assert set(other["set-resources"]) == set(slurm["set-resources"])
    for rule, resources in slurm["set-resources"].items():
        asked = other["set-resources"][rule]
        assert gpus(asked) == gpus(resources), rule
        for name in ("mem_mb", "runtime", "shards"):
            assert first_attempt(asked, name) == first_attempt(resources, name), (rule, name)


def test_the_page_names_the_profiles_and_says_that_they_were_not_run() -> None:
    assert {name for name in OTHERS if f"`profiles/{name}`" in PAGE} == set(OTHERS)
    assert "not run here" in PAGE
    assert all("not run here" in (ROOT / f"profiles/{name}/config.yaml").read_text("utf-8") for name in OTHERS)


def test_the_pod_asks_for_gpus_and_keeps_its_folder() -> None:
    (block,) = re.findall(r"^```yaml pod.yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    pod = yaml.safe_load(block)["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 8
    assert Path(container["workingDir"]).is_relative_to(container["volumeMounts"][0]["mountPath"])
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}


@pytest.mark.parametrize(
    ("state", "rest", "said"),
    [
        ("Q", "", "running"),
        ("R", "", "running"),
        ("F", "    Exit_status = 0", "success"),
        ("F", "    Exit_status = 271", "failed"),
        ("F", "", "failed"),
    ],
)
def test_the_state_of_a_pbs_job(tmp_path: Path, state: str, rest: str, said: str) -> None:
    qstat = tmp_path / "qstat"
    qstat.write_text(QSTAT.format(state=state, rest=rest))
    qstat.chmod(0o755)
    done = subprocess.run(
        [ROOT / "profiles/pbs/status.sh", "7.server"],
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"{said}\n"
