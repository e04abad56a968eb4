"""On the path of every job: notes of each Python process that ends which script it ran, in which environment."""

import atexit
import json
import os
import sys
from pathlib import Path


def note() -> None:
    """Write one file a process; processes that are forked or killed write none."""
    line = {"prefix": sys.prefix, "script": Path(sys.argv[0]).name}
    Path(os.environ["NEP_NOTES"], f"{os.getpid()}.json").write_text(json.dumps(line), encoding="utf-8")


atexit.register(note)
