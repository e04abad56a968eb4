"""A hub repository at a pinned revision as a place: verified, resumable over HTTP ranges, token from the environment.

huggingface_hub's own `hf_hub_download` starts a file anew when the process was killed; archives of many gigabytes are
therefore written to a partial file that the next try continues. A hub that is busy is asked again.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import httpx2
from huggingface_hub import HfApi, constants, hf_hub_url, is_offline_mode, snapshot_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError
from huggingface_hub.file_download import http_get
from huggingface_hub.hf_api import RepoFile, RepoFolder
from huggingface_hub.utils import build_hf_headers

from nep.download.place import FolderPlace, Place, RemoteFile, RepositoryKind, mismatch, some_of, verify
from nep.errors import InputError

BUSY = frozenset({429, 500, 502, 503, 504})
WAITS_S = (1, 2, 4, 8)
LONGEST_WAIT_S = 600

Answer = TypeVar("Answer")


def open_hub(repo: str, revision: str, kind: RepositoryKind) -> Place:
    """The repository on the hub, or, with HF_HUB_OFFLINE set, its snapshot in the local hub cache."""
    if not is_offline_mode():
        return HubPlace(repo, revision, kind)
    try:
        return FolderPlace(Path(snapshot_download(repo, repo_type=kind, revision=revision, local_files_only=True)))
    except LocalEntryNotFoundError:
        raise InputError(
            f"hub {kind} {repo} at {revision}: not in the local hub cache, and HF_HUB_OFFLINE is set; "
            "unset it, or download the repository elsewhere and name it with kind 'folder'"
        ) from None


class HubPlace:
    """A repository at one revision. All requests go to the commit that the revision resolved to at first contact."""

    def __init__(self, repo: str, revision: str, kind: RepositoryKind, endpoint: str | None = None) -> None:
        self.repo = repo
        self.revision = revision
        self.kind: RepositoryKind = kind
        self.endpoint = endpoint or constants.ENDPOINT
        self.label = f"hub {kind} {repo} at {revision}"
        self._api = HfApi(endpoint=self.endpoint, token=token_from_environment())

    @cached_property
    def commit(self) -> str:
        with self._clear_errors():
            return patiently(lambda: self._api.repo_info(self.repo, repo_type=self.kind, revision=self.revision)).sha

    def names(self) -> list[str]:
        return sorted(self._files)

    def describe(self, name: str) -> RemoteFile:
        if name not in self._files:
            raise InputError(f"{self.label}: no file {name!r}; it holds {some_of(self.names())}")
        return self._files[name]

    def fetch(self, file: RemoteFile, destination: Path) -> Path:
        """Download to `destination`, continuing what an earlier try left. Raises InputError on a wrong checksum."""
        if destination.is_file() and not mismatch(destination, file):
            return destination
        partial = self._partial(file, destination)
        self._download(file, partial)
        try:
            verify(partial, file)
        except InputError:
            partial.unlink()
            raise
        partial.replace(destination)
        return destination

    def _download(self, file: RemoteFile, partial: Path) -> None:
        if file.size > constants.MAX_HTTP_DOWNLOAD_SIZE:
            raise InputError(
                f"{self.label}: {file.name} has {file.size} bytes, more than the hub serves over plain HTTP; "
                "download it with the hub's own client and name the folder with kind 'folder'"
            )
        url = hf_hub_url(self.repo, file.name, repo_type=self.kind, revision=self.commit, endpoint=self.endpoint)
        headers = {**build_hf_headers(token=token_from_environment()), "Accept-Encoding": "identity"}
        partial.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("ab") as stream:
            if stream.tell() > file.size:
                stream.truncate(0)
            with self._clear_errors(file.name):
                patiently(
                    lambda: http_get(url, stream, resume_size=stream.tell(), headers=headers, expected_size=file.size)
                )

    def _partial(self, file: RemoteFile, destination: Path) -> Path:
        content = file.sha256 or file.git_sha1 or self.commit
        return destination.with_name(f".{destination.name}.{content[:16]}.partial")

    @cached_property
    def _files(self) -> dict[str, RemoteFile]:
        with self._clear_errors():
            return {entry.path: remote_file(entry) for entry in patiently(self._tree) if isinstance(entry, RepoFile)}

    def _tree(self) -> list[RepoFile | RepoFolder]:
        listed = self._api.list_repo_tree(self.repo, repo_type=self.kind, revision=self.commit, recursive=True)
        return list(listed)

    @contextmanager
    def _clear_errors(self, name: str | None = None) -> Iterator[None]:
        place = f"{self.label}, file {name}" if name else self.label
        try:
            yield
        except RepositoryNotFoundError as error:
            raise InputError(f"{place}: no such repository, or no access to it (HF_TOKEN): {_line(error)}") from None
        except (HfHubHTTPError, httpx2.TransportError, OSError) as error:
            raise InputError(f"{place}: {type(error).__name__}: {_line(error)}") from None


def patiently(request: Callable[[], Answer]) -> Answer:
    """The request's answer; a busy hub (429, 5xx) is asked again, as late as it says (Retry-After in seconds).

    Raises the last HfHubHTTPError when it stays busy, any other error at once.
    """
    for wait in WAITS_S:
        try:
            return request()
        except HfHubHTTPError as error:
            if error.response.status_code not in BUSY:
                raise
            asked = error.response.headers.get("Retry-After", "")
            time.sleep(min(int(asked), LONGEST_WAIT_S) if asked.isdecimal() else wait)
    return request()


def token_from_environment() -> str | bool:
    """The hub token in HF_TOKEN; False, which means none, where it is not set (stored log-ins are not used)."""
    return os.environ.get("HF_TOKEN") or False


def remote_file(entry: RepoFile) -> RemoteFile:
    """A file as the hub lists it."""
    if entry.lfs:
        return RemoteFile(entry.path, entry.lfs.size, sha256=entry.lfs.sha256)
    return RemoteFile(entry.path, entry.size, git_sha1=entry.blob_id)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
