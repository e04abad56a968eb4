"""What was published of a run: one JSON file a repository, `results/<run>/publish/<what>.json`."""

from pathlib import Path
from typing import Any

from nep.files import read_json, write_json
from nep.publish.bundle import Bundle

FOLDER = "publish"


def write_record(run: Path, bundle: Bundle, commit: str, licence: str) -> Path:
    """Note where a bundle was published, at which commit; the file."""
    path = _path(run, bundle.what)
    record: dict[str, Any] = {
        "kind": bundle.target.kind,
        "repo": bundle.target.repo,
        "revision": commit,
        "license": licence,
        "files": {name: file.stat().st_size for name, file in bundle.files.items()},
        "configuration": bundle.configuration(commit),
    }
    write_json(path, record)
    return path


def published_repo(run: Path, what: str) -> str | None:
    """The repository that `what` of the run was published to; None where it was not."""
    path = _path(run, what)
    return read_json(path)["repo"] if path.is_file() else None


def _path(run: Path, what: str) -> Path:
    return run / FOLDER / f"{what}.json"
