"""What the rules, their environments and their entry points say of each other."""

import ast
import itertools
import re
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import yaml
from support.entry_points import ROOT
from support.imports import SCRIPTS, all_imported

from environment_pins import normalised

# That of vLLM, beside a trainer: no rule runs in it.
ENGINE_ENV = ROOT / "envs/rollout.yaml"
ENVS = sorted(set((ROOT / "envs").glob("*.yaml")) - {ENGINE_ENV})
RULE = re.compile(r"^(?:rule|checkpoint) (\w+):$", re.MULTILINE)
CONDA = re.compile(r'conda:\s*"\.\./envs/(\w+)\.yaml"')
CODE = re.compile(r"code\(([^)]*)\)")
SCRIPT = re.compile(r'"(\w+\.py)"')


def rules() -> dict[str, str]:
    """Text of every rule in `rules/`, by name, but for those that start Snakemake: they run in its environment."""
    found = {}
    for file in sorted((ROOT / "rules").glob("*.smk")):
        _, *parts = RULE.split(file.read_text(encoding="utf-8"))
        found |= dict(zip(parts[::2], parts[1::2], strict=True))
    return {name: text for name, text in found.items() if "handover: True" not in text}


def environments() -> dict[str, str]:
    """Name of every rule's environment, by rule."""
    return {rule: CONDA.findall(text)[0] for rule, text in rules().items()}


def scripts_in(rule: str) -> list[str]:
    """Names of the scripts that the text of a rule counts as its logic, the one that it runs first."""
    return [script for names in CODE.findall(rule) for script in SCRIPT.findall(names)]


def entry_points() -> dict[str, str]:
    """Name of the script that every rule runs, by rule."""
    return {rule: scripts_in(text)[0] for rule, text in rules().items()}


def scripts_of(environment: str) -> set[str]:
    """Names of the scripts that run in an environment: entry points, and what starts several processes of one."""
    here = [rules()[rule] for rule, name in environments().items() if name == environment]
    scripts = {script for text in here for script in scripts_in(text)}
    starts = any("{resources.launcher}" in text for text in here)
    return scripts | ({"launch_training.py"} if starts else set())


def pip_section(env: Path) -> list[str]:
    """The lines of an environment's pip section."""
    dependencies = yaml.safe_load(env.read_text(encoding="utf-8"))["dependencies"]
    return next(item["pip"] for item in dependencies if isinstance(item, dict))


def third_party_imports(entry: str) -> set[str]:
    """Top-level names that an entry point and all that it imports take from outside, or run as `python -m NAME`."""
    trees = [ast.parse(module.read_text(encoding="utf-8")) for module in all_imported(SCRIPTS / entry)]
    names = {name.split(".")[0] for tree in trees for node in ast.walk(tree) for name in names_of(node)}
    return names - {"nep"} - set(sys.stdlib_module_names)


def distributions_of(name: str) -> set[str]:
    """The installed distributions that have a top-level module or package of that name."""
    return set(map(normalised, _by_top_level_name().get(name, [])))


@cache
def _by_top_level_name() -> Mapping[str, list[str]]:
    return packages_distributions()


def names_of(node: ast.AST) -> Iterator[str]:
    """Names that a node imports, or runs as `python -m NAME`."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
        yield node.module
    elif isinstance(node, ast.List):
        words = [item.value if isinstance(item, ast.Constant) else None for item in node.elts]
        yield from (name for flag, name in itertools.pairwise(words) if flag == "-m" and name)
