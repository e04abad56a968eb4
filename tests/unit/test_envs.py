"""The conda environments hold what the rules' entry points import, at the versions of requirements.txt."""

import ast
import itertools
import re
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml

from nep.fingerprint import local_closure

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "scripts"
ENVS = sorted((ROOT / "envs").glob("*.yaml"))
RULE = re.compile(r"^(?:rule|checkpoint) (\w+):$", re.MULTILINE)
CONDA = re.compile(r'conda:\s*"\.\./(envs/\w+\.yaml)"')
CODE = re.compile(r'code\("(\w+\.py)"\)')
PINNED = re.compile(r"([A-Za-z0-9_.-]+)==(\S+)")


def rules() -> dict[str, str]:
    """Text of every rule in `rules/`, by name, but for those that start Snakemake: they run in its environment."""
    found = {}
    for file in sorted((ROOT / "rules").glob("*.smk")):
        _, *parts = RULE.split(file.read_text(encoding="utf-8"))
        found |= dict(zip(parts[::2], parts[1::2], strict=True))
    return {name: text for name, text in found.items() if "handover: True" not in text}


def third_party_imports(entry: str) -> set[str]:
    """Top-level names that an entry point's local closure imports from outside, or runs as `python -m NAME`."""
    trees = [ast.parse(module.read_text(encoding="utf-8")) for module in local_closure(SCRIPTS / entry, SCRIPTS)]
    names = {name.split(".")[0] for tree in trees for node in ast.walk(tree) for name in names_of(node)}
    return names - {"nep"} - set(sys.stdlib_module_names)


def names_of(node: ast.AST) -> Iterator[str]:
    """Dotted names that one statement or command imports."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
        yield node.module
    elif isinstance(node, ast.List):
        words = [item.value if isinstance(item, ast.Constant) else None for item in node.elts]
        yield from (name for flag, name in itertools.pairwise(words) if flag == "-m" and name)


def normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(text: str) -> dict[str, str]:
    """Versions by distribution of the lines `name==version`."""
    lines = [PINNED.fullmatch(line.strip()) for line in text.splitlines()]
    return {normalised(found[1]): found[2] for found in lines if found}


def pip_section(env: Path) -> list[str]:
    dependencies = yaml.safe_load(env.read_text(encoding="utf-8"))["dependencies"]
    return next(item["pip"] for item in dependencies if isinstance(item, dict))


@pytest.mark.parametrize("env", ENVS, ids=lambda env: env.stem)
def test_an_environment_pins_what_requirements_pin(env: Path) -> None:
    required = pins((ROOT / "requirements.txt").read_text(encoding="utf-8"))
    section = pip_section(env)
    pinned = pins("\n".join(section))
    assert len(pinned) == len(section) > 0, "every line of the pip section is NAME==VERSION"
    assert pinned == {name: required.get(name) for name in pinned}


@pytest.mark.parametrize("env", ENVS, ids=lambda env: env.stem)
def test_an_environment_names_channels_but_no_host(env: Path) -> None:
    content = yaml.safe_load(env.read_text(encoding="utf-8"))
    assert content["channels"] == ["conda-forge", "nodefaults"]
    assert content["dependencies"][0] == "python=3.11"
    assert "://" not in env.read_text(encoding="utf-8")


@pytest.mark.parametrize("rule", sorted(rules()))
def test_a_rules_environment_holds_what_its_entry_point_imports(rule: str) -> None:
    text = rules()[rule]
    (env,) = CONDA.findall(text)
    (entry,) = CODE.findall(text)
    assert f"scripts/{entry}" in text, "the fingerprint is that of the script that the rule runs"
    distributions = packages_distributions()
    held = set(pins("\n".join(pip_section(ROOT / env))))
    lacking = {
        name for name in third_party_imports(entry) if not held & set(map(normalised, distributions.get(name, [])))
    }
    assert not lacking, f"{env} lacks what scripts/{entry} imports"


def test_every_environment_has_a_rule() -> None:
    used = {CONDA.findall(text)[0] for text in rules().values()}
    assert used == {env.relative_to(ROOT).as_posix() for env in ENVS}


def test_imports_are_found_where_they_hide() -> None:
    assert {"deepspeed", "torch", "transformers"} <= third_party_imports("train_sft.py")
    assert "lmms_eval" in third_party_imports("evaluate_model.py"), "run as a module"
    assert "huggingface_hub" in third_party_imports("list_source.py"), "imported inside a function"
    assert "torch" not in third_party_imports("convert_datasets.py")
