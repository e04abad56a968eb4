"""The pins of the conda environments: packages that are named by hand, and below a mark all that these need."""

import re

from nep.errors import InputError

MARK = "      # What these need in turn (make requirements):\n"
PIN = re.compile(r"^( *-)? *([A-Za-z0-9_.-]+)==(\S+)$", re.MULTILINE)


def normalised(name: str) -> str:
    """A distribution's name as packaging compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(text: str) -> dict[str, str]:
    """Version by distribution of the lines NAME==VERSION of a requirements file or an environment file."""
    return {normalised(name): version for _, name, version in PIN.findall(text)}


def named_by_hand(environment: str) -> str:
    """What stands above the mark in an environment file's text."""
    return environment.partition(MARK)[0]


def at_versions(named: str, versions: dict[str, str]) -> str:
    """The part that is written by hand, at the given versions. Raises InputError for a package that has none."""

    def pin(found: re.Match[str]) -> str:
        dash, name, _ = found.groups()
        if normalised(name) not in versions:
            raise InputError(f"{name}: not in requirements/main.txt; add it to requirements/main.in first")
        return f"{dash} {name}=={versions[normalised(name)]}"

    return PIN.sub(pin, named)


def with_closure(named: str, closure: dict[str, str]) -> str:
    """An environment file's text: the part that is written by hand, and those of the closure that it does not name."""
    further = sorted(closure.items() - pins(named).items())
    return named + MARK + "".join(f"      - {name}=={version}\n" for name, version in further)
