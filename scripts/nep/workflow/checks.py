"""What a workflow needs where it starts: its own folder, conda where it is asked for, a name of the user."""

import os
import shutil
from collections.abc import Collection
from getpass import getuser
from pathlib import Path

from nep.errors import InputError


def check_folder(root: Path) -> None:
    """Raises InputError where the working folder is not the workflow's own, below which its rules name files."""
    if not root.samefile(Path.cwd()):
        raise InputError(f"the workflow runs in its own folder: cd {root}, or add --directory {root} to the command")


def check_conda(methods: Collection[str]) -> None:
    """Raises InputError where environments are to be made by conda, which is not there; an image has its own."""
    if "conda" in methods and "apptainer" not in methods and shutil.which("conda") is None:
        raise InputError(
            "software-deployment-method: conda, as the profiles of clusters have it, needs the command conda, which is "
            "not on the PATH; load it, or add --sdm env-modules, which takes the environment of Snakemake itself for "
            "all jobs (docs/environments.md)"
        )


def name_user() -> None:
    """Give the user a name where the machine has none for its id, as in a container: jobs' libraries ask for it."""
    try:
        getuser()
    except (KeyError, OSError):
        os.environ["LOGNAME"] = str(os.getuid())
