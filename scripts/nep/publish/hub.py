"""The hub as publishing uses it, all through huggingface_hub: who may write, what is there, one commit.

A large file is stored by its checksum before any commit names it: after a lost connection or a kill the same call sends
only what is missing, and readers see nothing until the one commit at the end.
"""

import fnmatch
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx2
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError, RepositoryNotFoundError
from huggingface_hub.hf_api import RepoFile

from nep.download.hub import patiently, remote_file
from nep.download.place import RemoteFile, mismatch
from nep.errors import InputError
from nep.publish.bundle import Bundle, Target
from nep.publish.space import sdk_of

REFUSED = (401, 403)
CHANGED_MEANWHILE = (409, 412)
GO_ON = "what was sent is kept there: the same command goes on"


@dataclass(frozen=True)
class Difference:
    """How a repository differs from a bundle: names that it lacks, has otherwise, has alike, and has from before.

    `head` is its newest commit, None where the repository is not there (or the token may not see it).
    """

    head: str | None
    new: list[str]
    changed: list[str]
    same: list[str]
    stale: list[str]

    @property
    def to_send(self) -> list[str]:
        """What the commit adds."""
        return sorted([*self.new, *self.changed])


def check_token(api: HfApi, target: Target) -> str:
    """The user whose token it is. Raises InputError where there is none, the hub refuses it, or it only reads."""
    with _clear_errors(target, "publish"):
        try:
            user = api.whoami()
        except LocalTokenNotFoundError:
            raise InputError(
                f"{target.label}: no token; set HF_TOKEN to one that may write, or log in with `hf auth login`"
            ) from None
    if user.get("auth", {}).get("accessToken", {}).get("role") == "read":
        raise InputError(f"{target.label}: the token of {user['name']} may only read; it takes one that may write")
    return user["name"]


def check_repository(api: HfApi, target: Target, user: str, public: bool) -> bool:
    """Whether the repository is there. Raises InputError where the token may not write to it, or where it is public or
    private against what `public` says."""
    with _clear_errors(target, "read it"):
        try:
            info = patiently(lambda: api.repo_info(target.repo, repo_type=target.kind))
        except RepositoryNotFoundError:
            return False
    with _clear_errors(target, "write to it", user):
        api.auth_check(target.repo, repo_type=target.kind, write=True)
    if not info.private and not public:
        raise InputError(f"{target.label}: is there and public; say --public if everybody is to see this, too")
    if info.private and public:
        raise InputError(f"{target.label}: is there and private; leave out --public, its settings on the hub decide")
    return True


def create_repository(api: HfApi, bundle: Bundle, user: str, public: bool) -> None:
    """Make the repository, private unless `public`. Raises InputError where the token may not."""
    sdk = sdk_of(bundle) if bundle.target.kind == "space" else None
    with _clear_errors(bundle.target, "make it", user):
        api.create_repo(bundle.target.repo, repo_type=bundle.target.kind, private=not public, space_sdk=sdk)


def compare(api: HfApi, bundle: Bundle) -> Difference:
    """What the repository has of a bundle, by size and checksum. Raises InputError where the hub does not answer."""
    repo, kind = bundle.target.repo, bundle.target.kind
    with _clear_errors(bundle.target, "read it"):
        try:
            head = patiently(lambda: api.repo_info(repo, repo_type=kind)).sha
        except RepositoryNotFoundError:
            return Difference(None, sorted(bundle.files), [], [], [])
        listed = patiently(lambda: list(api.list_repo_tree(repo, repo_type=kind, revision=head, recursive=True)))
    there = {entry.path: remote_file(entry) for entry in listed if isinstance(entry, RepoFile)}
    return _difference(bundle, head, there)


def send(api: HfApi, bundle: Bundle, difference: Difference, message: str) -> str:
    """Send what the repository lacks and commit it; the commit that holds the bundle.

    Raises InputError where the connection is lost, the hub refuses, or somebody else has committed meanwhile.
    """
    operations = [
        *(CommitOperationAdd(name, bundle.files[name]) for name in difference.to_send),
        *(CommitOperationDelete(name) for name in difference.stale),
    ]
    if not operations:
        return difference.head
    with _clear_errors(bundle.target, "write to it"), warnings.catch_warnings():
        # The hub's own, that a header of a card lacks what is optional.
        warnings.simplefilter("ignore", UserWarning)
        commit = api.create_commit(
            bundle.target.repo,
            operations,
            commit_message=message,
            repo_type=bundle.target.kind,
            parent_commit=difference.head,
        )
    return commit.oid


def _difference(bundle: Bundle, head: str, there: dict[str, RemoteFile]) -> Difference:
    new = sorted(set(bundle.files) - set(there))
    common = sorted(set(bundle.files) & set(there))
    changed = [name for name in common if mismatch(bundle.files[name], there[name])]
    left = sorted(set(there) - set(bundle.files))
    stale = [name for name in left if any(fnmatch.fnmatchcase(name, pattern) for pattern in bundle.replaces)]
    return Difference(head, new, changed, [name for name in common if name not in changed], stale)


@contextmanager
def _clear_errors(target: Target, wish: str, user: str | None = None) -> Iterator[None]:
    """What the hub, the connection or the client say, as one message that never holds the token."""
    try:
        yield
    except HfHubHTTPError as error:
        raise InputError(f"{target.label}: {_answer(error, wish, user)}") from None
    except (httpx2.TransportError, OSError) as error:
        raise InputError(f"{target.label}: {type(error).__name__}: {_line(error)}; {GO_ON}") from None
    except ValueError as error:
        # How the client says that the hub refuses the header of a card.
        raise InputError(f"{target.label}: {_line(error)}") from None
    except RuntimeError as error:
        # How the client says that a large file was not sent.
        cause = error.__cause__
        if isinstance(cause, HfHubHTTPError) and cause.response.status_code in REFUSED:
            raise InputError(f"{target.label}: {_answer(cause, wish, user)}") from None
        why = f" ({type(cause).__name__})" if cause else ""
        raise InputError(f"{target.label}: {_line(error)}{why}; {GO_ON}") from None


def _answer(error: HfHubHTTPError, wish: str, user: str | None) -> str:
    status = error.response.status_code
    owner = f" of {user}" if user else ""
    if status == 401:
        return f"the hub refuses the token{owner} (401); set HF_TOKEN to a valid one, or `hf auth login`"
    if status == 403:
        return (
            f"the token{owner} has not the right to {wish} (403); give it write access to this repository's owner "
            "in the hub's settings of tokens"
        )
    if status in CHANGED_MEANWHILE:
        return f"somebody else changed it meanwhile ({status}); look at it, then type the same command"
    return f"{_line(error)}; {GO_ON}"


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
