"""A small HTTP server on 127.0.0.1 that speaks what huggingface_hub's client asks of a hub.

Repository info and tree listing at a revision, `resolve` with ETag, X-Repo-Commit and the redirect of large files, byte
ranges. Faults are set per file: `faults`, one for each coming request for its content (`Cut`: close the connection at
that byte of the file; `Status`: answer with it), and `tampered`, content sent in place of the right one. `api_faults`
are those of the coming requests for repository info and listing. A repository with a `gate` grants access to that
token alone.
"""

import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from urllib.parse import parse_qs, unquote, urlsplit

# How soon the server notices that it is to end.
POLL_S = 0.05
COMMIT = "0123456789abcdef0123456789abcdef01234567"
REPO = r"(?P<repo>[^/]+/[^/]+)"
API = re.compile(rf"/api/(?P<kind>model|dataset|space)s/{REPO}(?:/(?P<rest>.*))?")
RESOLVE = re.compile(rf"/(?:(?P<kind>dataset|space)s/)?{REPO}/resolve/(?P<revision>[^/]+)/(?P<file>.+)")


@dataclass(frozen=True)
class Cut:
    """Close the connection when this byte of the file is reached."""

    at: int


@dataclass(frozen=True)
class Status:
    """Answer with this status and these headers, without content."""

    code: int
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class HubFile:
    """One file of a repository; `lfs` files are served through a redirect, as the hub does."""

    content: bytes
    lfs: bool = False
    faults: list[Cut | Status] = field(default_factory=list)
    tampered: bytes | None = None

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @property
    def blob_id(self) -> str:
        return hashlib.sha1(f"blob {len(self.content)}\0".encode() + self.content, usedforsecurity=False).hexdigest()

    @property
    def etag(self) -> str:
        return self.sha256 if self.lfs else self.blob_id

    def tree_entry(self, path: str) -> dict:
        entry = {"type": "file", "path": path, "size": len(self.content), "oid": self.blob_id}
        if self.lfs:
            entry["lfs"] = {"oid": self.sha256, "size": len(self.content), "pointerSize": 130}
        return entry


@dataclass(frozen=True)
class Request:
    """A request that the server answered: method, path, Range header and whether it carried a token."""

    method: str
    path: str
    range: str | None
    authorization: str | None


@dataclass
class Repository:
    """A repository of the server. `files` are those of its newest commit; `commits` those of each one.

    `gate`: the only token that is granted access.
    """

    kind: str
    name: str
    files: dict[str, HubFile]
    commits: dict[str, dict[str, HubFile]]
    revisions: dict[str, str]
    private: bool = False
    gate: str | None = None

    def commit_of(self, revision: str) -> str | None:
        """The commit of a branch, tag or commit; None where there is no such revision."""
        return revision if revision in self.commits else self.revisions.get(revision)


class HubServer:
    """A context manager: `with HubServer("dataset", "me/data", {"a.json": HubFile(b"[]")}) as hub: hub.url`."""

    def __init__(self, kind: str, repo: str, files: dict[str, HubFile], revisions: tuple[str, ...] = ("main",)) -> None:
        named = dict.fromkeys(revisions, COMMIT)
        self.repository = Repository(kind, repo, files, {COMMIT: files}, named)
        self._open(HubHandler)

    def _open(self, handler: "type[HubHandler]") -> None:
        self.requests: list[Request] = []
        self.api_faults: list[Status] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (handler,), {"hub": self}))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(POLL_S,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def files(self) -> dict[str, HubFile]:
        """The files of the one repository."""
        return self.repository.files

    def find(self, kind: str, name: str) -> Repository | None:
        """The repository of this kind and name."""
        found = self.repository
        return found if (found.kind, found.name) == (kind, name) else None

    def ranges_of(self, name: str) -> list[str | None]:
        """Range headers of the requests that asked for a file's content, in order."""
        return [request.range for request in self.requests if request.method == "GET" and request.path.endswith(name)]

    def __enter__(self) -> "HubServer":
        self._thread.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class HubHandler(BaseHTTPRequestHandler):
    """The requests that read. `hub` is the server's."""

    protocol_version = "HTTP/1.1"
    hub: HubServer

    def do_GET(self) -> None:
        self._answer(self._noted_path(), with_body=True)

    def do_HEAD(self) -> None:
        self._answer(self._noted_path(), with_body=False)

    def do_POST(self) -> None:
        self._post(self._noted_path())

    def do_PUT(self) -> None:
        self._put(self._noted_path())

    def log_message(self, *arguments: object) -> None:
        """Keep the test output clean; requests are recorded in `hub.requests`."""

    def _noted_path(self) -> str:
        path = unquote(urlsplit(self.path).path)
        headers = self.headers
        self.hub.requests.append(Request(self.command, path, headers.get("Range"), headers.get("Authorization")))
        return path

    def _answer(self, path: str, with_body: bool) -> None:
        if path.startswith("/content/"):
            kind, owner, name, commit, file = path.removeprefix("/content/").split("/", 4)
            self._send_content(self.hub.find(kind, f"{owner}/{name}").commits[commit][file], commit, with_body)
        elif found := API.fullmatch(path):
            self._answer_api(found["kind"], found["repo"], found["rest"] or "")
        elif found := RESOLVE.fullmatch(path):
            kind = found["kind"] or "model"
            self._answer_resolve(kind, found["repo"], found["revision"], found["file"], with_body)
        else:
            self._fail(404, "RepoNotFound")

    def _post(self, path: str) -> None:
        found = API.fullmatch(path)
        verb, _, revision = (found["rest"] or "").partition("/") if found else ("", "", "")
        repository = self._readable(found["kind"], found["repo"]) if found else None
        commit = repository.commit_of(revision) if repository else None
        if verb == "paths-info" and commit:
            self._answer_paths(repository.commits[commit])
        else:
            self._fail(404, "EntryNotFound")

    def _put(self, path: str) -> None:
        self._fail(405, "ReadOnly")

    def _readable(self, kind: str, name: str) -> Repository | None:
        """The repository where the request may read it."""
        return self.hub.find(kind, name)

    def _answer_api(self, kind: str, name: str, rest: str) -> None:
        repository = self._readable(kind, name)
        if repository is None:
            self._fail(404, "RepoNotFound")
            return
        if self.hub.api_faults:
            fault = self.hub.api_faults.pop(0)
            self._fail(fault.code, "Unavailable", fault.headers)
            return
        verb, _, place = rest.partition("/")
        revision, _, folder = place.partition("/")
        commit = repository.commit_of(revision or "main")
        if verb == "auth-check":
            self._answer_auth_check(repository, write=place == "write")
        elif commit is None:
            self._fail(404, "RevisionNotFound")
        elif verb in ("", "revision"):
            siblings = [{"rfilename": name} for name in sorted(repository.commits[commit])]
            gated = "manual" if repository.gate else False
            info = {"id": repository.name, "sha": commit, "siblings": siblings, "tags": []}
            self._send_json({**info, "private": repository.private, "gated": gated})
        elif verb == "tree":
            self._answer_tree(repository.commits[commit], folder.strip("/"), "recursive=false" in self.path.lower())
        else:
            self._fail(404, "EntryNotFound")

    def _answer_auth_check(self, repository: Repository, write: bool) -> None:
        granted = not write and self.headers.get("Authorization") == f"Bearer {repository.gate}"
        self._send_json({}) if granted else self._fail(403, "GatedRepo")

    def _answer_tree(self, held: dict[str, HubFile], folder: str, direct: bool) -> None:
        below = f"{folder}/" if folder else ""
        names = [name for name in sorted(held) if name.startswith(below)]
        inner = sorted({name.removeprefix(below).split("/")[0] for name in names if "/" in name.removeprefix(below)})
        folders = [{"type": "directory", "path": below + name, "oid": COMMIT} for name in inner] if direct else []
        files = [name for name in names if not direct or "/" not in name.removeprefix(below)]
        listed = [*folders, *(held[name].tree_entry(name) for name in files)]
        self._send_json(listed) if listed else self._fail(404, "EntryNotFound")

    def _answer_paths(self, held: dict[str, HubFile]) -> None:
        form = parse_qs(self._body().decode())
        asked = form.get("paths", [])
        folders = {path for path in asked if any(name.startswith(f"{path}/") for name in held)}
        entries = [held[path].tree_entry(path) for path in asked if path in held]
        self._send_json([*entries, *({"type": "directory", "path": path, "oid": COMMIT} for path in folders)])

    def _answer_resolve(self, kind: str, repo: str, revision: str, name: str, with_body: bool) -> None:
        repository = self._readable(kind, repo)
        commit = repository.commit_of(revision) if repository else None
        if repository is None:
            self._fail(404, "RepoNotFound")
        elif commit is None:
            self._fail(404, "RevisionNotFound")
        elif name not in repository.commits[commit]:
            self._fail(404, "EntryNotFound")
        elif repository.commits[commit][name].lfs:
            file = repository.commits[commit][name]
            self.send_response(302)
            self.send_header("Location", f"{self.hub.url}/content/{kind}/{repo}/{commit}/{name}")
            self.send_header("X-Repo-Commit", commit)
            self.send_header("X-Linked-Etag", f'"{file.etag}"')
            self.send_header("X-Linked-Size", str(len(file.content)))
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            self._send_content(repository.commits[commit][name], commit, with_body)

    def _send_content(self, file: HubFile, commit: str, with_body: bool) -> None:
        fault = file.faults.pop(0) if with_body and file.faults else None
        if isinstance(fault, Status):
            self._fail(fault.code, "Unavailable", fault.headers)
            return
        content = file.content if file.tampered is None else file.tampered
        start = self._range_start(len(content))
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.send_header("ETag", f'"{file.etag}"')
        self.send_header("X-Repo-Commit", commit)
        self.send_header("Accept-Ranges", "bytes")
        self.end_headers()
        if not with_body:
            return
        if fault:
            self.close_connection = True
            content = content[: fault.at]
        self.wfile.write(content[start:])
        self.wfile.flush()

    def _range_start(self, size: int) -> int:
        value = self.headers.get("Range")
        start = int(value.removeprefix("bytes=").partition("-")[0]) if value else 0
        return start if start < size else 0

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers["Content-Length"]))

    def _send_json(self, value: object, status: int = 200, headers: dict[str, str] | None = None) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        for name, text in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, text)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _fail(self, status: int, code: str, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"X-Error-Code": code, **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()
