"""Where files come from: one small interface, a local folder and a hub repository behind it."""

import hashlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal, Protocol

from nep.errors import InputError
from nep.files import CHUNK_BYTES, sha256_of_file, sha256_of_json

RepositoryKind = Literal["dataset", "model"]


@dataclass(frozen=True)
class RemoteFile:
    """A file as its place states it: POSIX name below the root, size in bytes, and what is known of its content.

    The hub knows the SHA-256 of large files and the git blob hash (SHA-1) of the others; a folder's files are hashed.
    """

    name: str
    size: int
    sha256: str | None = None
    git_sha1: str | None = None


class Place(Protocol):
    """A read-only set of files. `label` names it in messages; `commit` is the resolved revision, if it has one."""

    label: str
    commit: str | None

    def names(self) -> list[str]:
        """Names of all files, sorted."""
        ...

    def describe(self, name: str) -> RemoteFile:
        """Size and checksum of one file. Raises InputError when there is no such file."""
        ...

    def fetch(self, file: RemoteFile, destination: Path) -> Path:
        """Make the file readable and verify it: the path where it lies, `destination` if it had to be brought here."""
        ...


class FolderPlace:
    """A local folder, read in place. Hidden files and folders are not part of it."""

    commit = None

    def __init__(self, root: Path) -> None:
        if not root.is_dir():
            raise InputError(f"source folder {root}: no such folder")
        self.root = root
        self.label = f"folder {root}"

    def names(self) -> list[str]:
        relative = (path.relative_to(self.root) for path in self.root.rglob("*") if path.is_file())
        return sorted(path.as_posix() for path in relative if not any(part.startswith(".") for part in path.parts))

    def describe(self, name: str) -> RemoteFile:
        path = self._path(name)
        if not path.is_file():
            raise InputError(f"{self.label}: no file {name!r}; it holds {some_of(self.names())}")
        return RemoteFile(name, path.stat().st_size, sha256=sha256_of_file(path))

    def fetch(self, file: RemoteFile, destination: Path) -> Path:
        path = self._path(file.name)
        if not path.is_file():
            raise InputError(f"{self.label}: file {file.name!r}, seen when it was listed, is gone")
        verify(path, file)
        return path

    def _path(self, name: str) -> Path:
        return self.root / checked_name(name)


def folder_state(root: Path) -> str:
    """Hash of the names, sizes and modification times of a folder's files: what a changed file changes."""
    files = [path for path in sorted(root.rglob("*")) if path.is_file()]
    states = [(path.relative_to(root).as_posix(), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    return sha256_of_json(states)


def verify(path: Path, file: RemoteFile) -> None:
    """Check a file against what its place states. Raises InputError naming file, expected and found."""
    if difference := mismatch(path, file):
        raise InputError(f"{path}: {difference}")


def mismatch(path: Path, file: RemoteFile) -> str | None:
    """How a file differs from what its place states, in words; None if it does not."""
    size = path.stat().st_size
    if size != file.size:
        return f"expected {file.size} bytes, found {size}: truncated or changed"
    if file.sha256 and (found := sha256_of_file(path)) != file.sha256:
        return f"checksum mismatch: expected sha256 {file.sha256}, found {found}"
    if file.git_sha1 and (found := git_blob_sha1(path)) != file.git_sha1:
        return f"checksum mismatch: expected git blob {file.git_sha1}, found {found}"
    return None


def git_blob_sha1(path: Path) -> str:
    """The hash under which git stores a file: SHA-1 over `blob <size>`, a zero byte and the content."""
    digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def checked_name(name: str) -> str:
    """A file's name, if it stays below its root as written. Raises InputError for an absolute name or one with `..`.

    Unlike `confined`, it follows no link: a hub cache holds links to files outside the snapshot on purpose.
    """
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise InputError(f"file name {name!r} leaves its root")
    return path.as_posix()


def some_of(names: list[str], limit: int = 12) -> str:
    """A list of names, short enough for a message."""
    if not names:
        return "nothing"
    rest = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + rest
