"""Where a run and its jobs look for commands."""

import os
import sys
from pathlib import Path


def extend_path(root: Path) -> None:
    """Put first what a profile brings with it, then the environment that Snakemake runs in, also where that is not
    activated."""
    commands = map(str, sorted(root.glob("profiles/*/bin")))
    own = [*commands, str(Path(sys.executable).parent)]
    found = os.environ.get("PATH", os.defpath).split(os.pathsep)
    os.environ["PATH"] = os.pathsep.join([*own, *(folder for folder in found if folder not in own)])
