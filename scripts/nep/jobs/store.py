"""The store: results by a hash of all that decides them, in a folder that several users and runs can share.

`NEP_STORE` names the folder; without it nothing is looked up and nothing is shared. Where results are shared is how a
run is run, and no part of any key. An entry is a folder `<stage>/<k>/<key>` that holds the files and `entry.json`:
`{"key", "value", "outputs": [path], "files": {path: {"sha256", "linked"}}}`, paths relative to the shelf's root.

It gets its name by one rename when it is whole and is never changed, so that writers and readers need no lock; of two
who publish the same, the first one stays. What is taken is checked file by file before it gets its place. An entry
that is damaged is moved to `<store>/quarantine` and made again. Everything gets the mode of the store's own folder.
"""

import errno
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nep.errors import InputError
from nep.files import confined, link_or_copy, read_json, sha256_of_file, sha256_of_json, write_json

VARIABLE = "NEP_STORE"
ENTRY = "entry.json"
FILES = "files"
ALREADY_THERE = (errno.EEXIST, errno.ENOTEMPTY)


class DamagedEntryError(Exception):
    """An entry that does not hold what was put into it."""


def store_folder() -> Path | None:
    """The store's folder; None where results are not shared. Raises InputError if it does not exist."""
    name = os.environ.get(VARIABLE)
    if not name:
        return None
    if not Path(name).is_dir():
        raise InputError(
            f"{VARIABLE}: no folder {name!r}; make it, with the group and the mode that all in it shall have "
            "(for a group: chgrp GROUP, chmod 2770)"
        )
    return Path(name).resolve()


@dataclass(frozen=True)
class Shelf:
    """A stage's results in the store and in a run. `root`: what paths of entries are relative to; it lies in `run`."""

    stage: str
    run: Path
    root: Path

    def fetch(self, key: dict[str, Any]) -> Any | None:
        """Put the files of the result that was made from the same into their places; return its value.

        None where there is none, or none that can be used: then the result is to be made.
        """
        entry = self._entry(key)
        if entry is None or not entry.is_dir():
            return None
        scratch = self.run / "work/store"
        scratch.mkdir(parents=True, exist_ok=True)
        try:
            with tempfile.TemporaryDirectory(dir=scratch) as workspace:
                return self._taken(entry, Path(workspace))
        except DamagedEntryError as damage:
            place = _quarantine(entry)
            _tell(f"{entry} is damaged ({damage}); {place}; it is not used, {self.stage} makes the result again")
        except OSError as error:
            _tell(f"{entry} cannot be read ({error}); {self.stage} makes the result again")
        return None

    def publish(
        self,
        key: dict[str, Any],
        beside: Sequence[Path] = (),
        outputs: Sequence[Path] = (),
        value: Any = True,
    ) -> None:
        """Share a result: a JSON `value`, and files and folders below `root`.

        What lies `beside` is hard-linked where it can be and becomes read-only; `outputs`, which a workflow may touch,
        are copied. Where it cannot be shared, a message says so: the run has its result.
        """
        entry = self._entry(key)
        if entry is None or entry.exists():
            return
        try:
            self._put(entry, {"key": key, "value": value}, beside, outputs)
        except OSError as error:
            _tell(f"{entry} cannot be written ({error}); the result of {self.stage} is not shared")

    def _entry(self, key: dict[str, Any]) -> Path | None:
        store = store_folder()
        digest = sha256_of_json({"stage": self.stage, "key": key})
        return store and store / self.stage / digest[:2] / digest

    def _taken(self, entry: Path, workspace: Path) -> Any:
        content = _content(entry)
        try:
            for name, file in content["files"].items():
                placed = confined(workspace, name)
                _place(confined(entry / FILES, name), placed, link=file["linked"])
                if sha256_of_file(placed) != file["sha256"]:
                    raise DamagedEntryError(f"{name} is not the file that was put there")
            targets = [(workspace / name, confined(self.root, name)) for name in content["outputs"]]
        except (KeyError, TypeError, AttributeError, InputError, FileNotFoundError) as error:
            raise DamagedEntryError(f"{type(error).__name__}: {error}") from None
        for placed, target in targets:
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.is_dir():
                shutil.rmtree(target)
            placed.replace(target)
        return content["value"]

    def _put(self, entry: Path, content: dict[str, Any], beside: Sequence[Path], outputs: Sequence[Path]) -> None:
        store = entry.parents[2]
        for folder in (store / "tmp", entry.parents[1], entry.parent):
            make_folder(folder, store)
        with tempfile.TemporaryDirectory(dir=store / "tmp") as workspace:
            whole = Path(workspace) / entry.name
            files = {}
            for linked, paths in ((True, beside), (False, outputs)):
                for path in _files_below(paths):
                    name = path.relative_to(self.root).as_posix()
                    _place(path, whole / FILES / name, link=linked)
                    files[name] = {"sha256": sha256_of_file(whole / FILES / name), "linked": linked}
            names = [path.relative_to(self.root).as_posix() for path in (*beside, *outputs)]
            write_json(whole / ENTRY, {**content, "outputs": names, "files": files})
            for path in (whole, *whole.rglob("*")):
                admit(path, store)
            try:
                whole.rename(entry)
            except OSError as error:
                if error.errno not in ALREADY_THERE:
                    raise


def _content(entry: Path) -> dict[str, Any]:
    try:
        content = read_json(entry / ENTRY)
    except InputError as error:
        raise DamagedEntryError(str(error)) from None
    if not isinstance(content, dict) or not {"value", "outputs", "files"} <= set(content):
        raise DamagedEntryError(f"{ENTRY} lacks keys")
    return content


def _place(source: Path, target: Path, link: bool) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    (link_or_copy if link else shutil.copyfile)(source, target)


def _files_below(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        yield from [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())


def make_folder(path: Path, store: Path) -> None:
    """Make a folder of the store, if it is not there, with the group and the mode of the store's own."""
    try:
        path.mkdir()
    except FileExistsError:
        return
    admit(path, store)


def admit(path: Path, store: Path) -> None:
    """Give a folder or file of the store the group and the mode of the store's folder, a file without writing."""
    own, of_store = path.stat(), store.stat()
    if own.st_gid != of_store.st_gid:
        os.chown(path, -1, of_store.st_gid)
    mode = stat.S_IMODE(of_store.st_mode)
    path.chmod(mode if path.is_dir() else mode & 0o444)


def _quarantine(entry: Path) -> str:
    folder = entry.parents[2] / "quarantine"
    try:
        make_folder(folder, entry.parents[2])
        place = Path(tempfile.mkdtemp(prefix=f"{entry.parents[1].name}-{entry.name[:12]}.", dir=folder))
        admit(place, entry.parents[2])
        entry.rename(place / entry.name)
    except OSError as error:
        return f"it cannot be moved away ({error}), delete it"
    return f"moved to {place}"


def _tell(message: str) -> None:
    print(f"store: {message}", file=sys.stderr)
