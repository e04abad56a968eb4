"""Names of runs, and where their results lie."""

import re
from pathlib import Path

from nep.errors import InputError

# Of a run, an experiment, a reviewer: what becomes a folder's or a file's name.
NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]*"
# The page with its models, as a folder that can be put up by itself.
SPACE = "space"


def check_name(name: str) -> str:
    """The name. Raises InputError for one that is none."""
    if not re.fullmatch(NAME, name):
        raise InputError(f"{name!r}: a name is letters, digits and . _ - behind a letter or digit")
    return name


def results_of(run: str) -> Path:
    """The folder of the results of `--run`. Raises InputError for what is no name of a run."""
    if not re.fullmatch(NAME, run):
        raise InputError(f"--run {run!r}: the name of a run, a folder below results/")
    return Path("results") / run
