"""On which machines a run's jobs worked: each job leaves a note of its own, in the folder of the run's logs.

A note is named by what it says: equal machines leave one. Nothing in it tells who owns the machine.
"""

import hashlib
import json
import os
import platform
import re
from dataclasses import asdict, dataclass
from pathlib import Path

from nep.workflow.logs import VARIABLE

FOLDER = "machines"
GIB = 1 << 30


@dataclass(frozen=True)
class Machine:
    """`cores`: those that the job may use; `memory_gib`: of the whole machine; `gpus`: models of all that it has."""

    system: str
    processor: str
    cores: int
    memory_gib: int
    gpus: tuple[str, ...]
    python: str


def note_machine() -> None:
    """Leave a note on this machine with the run that this process works for; nothing where there is none."""
    logs = os.environ.get(VARIABLE)
    if logs is None:
        return
    text = json.dumps(asdict(this_machine()), sort_keys=True) + "\n"
    path = Path(logs, FOLDER, f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.json")
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.{os.getpid()}.part")
        part.write_text(text, encoding="utf-8")
        part.replace(path)


def this_machine(proc: Path = Path("/proc")) -> Machine:
    """What the kernel says of the machine that this process runs on."""
    return Machine(
        system=f"{platform.system()} {platform.machine()}",
        processor=_field(proc / "cpuinfo", "model name") or platform.machine(),
        cores=len(os.sched_getaffinity(0)),
        memory_gib=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB),
        gpus=tuple(
            _field(path, "Model") or "unknown GPU"
            for path in sorted((proc / "driver/nvidia/gpus").glob("*/information"))
        ),
        python=platform.python_version(),
    )


def _field(path: Path, name: str) -> str | None:
    """The first value of a file of lines `name : value`."""
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    found = re.search(rf"^{name}\s*:\s*(.+?)\s*$", text, re.MULTILINE)
    return found[1] if found else None
