"""Memory of the host that this process may use: the machine's, or less where a control group says so."""

from pathlib import Path

# Folders of `/sys/fs/cgroup` by the controllers that a line of /proc/self/cgroup names, and the file with the limit:
# version 2 has one tree, of no named controller.
TREES = {"": ("", "memory.max"), "memory": ("memory", "memory.limit_in_bytes")}


def host_memory(proc: Path = Path("/proc"), groups: Path = Path("/sys/fs/cgroup")) -> int:
    """Bytes: the least of the machine's and of every limit from this process's control group up to the root.

    A scheduler limits a job (Slurm's --mem), not the tree's root.
    """
    rows = (proc / "meminfo").read_text(encoding="utf-8").splitlines()
    (total,) = [int(row.split()[1]) * 1024 for row in rows if row.startswith("MemTotal:")]
    return min([total, *_limits(proc / "self/cgroup", groups)])


def _limits(membership: Path, groups: Path) -> list[int]:
    """Limits of all the groups that `membership` (`number:controllers:path` a line) puts the process into."""
    lines = membership.read_text(encoding="utf-8").splitlines() if membership.is_file() else []
    found = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            if controller in TREES:
                tree, name = TREES[controller]
                group = groups / tree / path.lstrip("/")
                found += [_limit(folder / name) for folder in (group, *group.parents) if folder.is_relative_to(groups)]
    return [limit for limit in found if limit is not None]


def _limit(file: Path) -> int | None:
    """None for a group without a limit (`max`), and for one that a container does not show."""
    text = file.read_text(encoding="utf-8").strip() if file.is_file() else ""
    return int(text) if text.isdigit() else None
