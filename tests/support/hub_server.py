"""A small HTTP server on 127.0.0.1 that speaks what huggingface_hub's client asks of a hub.

Repository info and tree listing at a revision, `resolve` with ETag, X-Repo-Commit and the redirect of large files, byte
ranges. Faults are set per file: `faults`, one for each coming request for its content (`Cut`: close the connection at
that byte of the file; `Status`: answer with it), and `tampered`, content sent in place of the right one. `api_faults`
are those of the coming requests for repository info and listing. A repository with a `gate` grants access to that
token alone.
"""

import hashlib
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from urllib.parse import parse_qs, unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


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


class HubServer:
    """A context manager: `with HubServer("dataset", "me/data", {"a.json": HubFile(b"[]")}) as hub: hub.url`."""

    def __init__(self, kind: str, repo: str, files: dict[str, HubFile], revisions: tuple[str, ...] = ("main",)) -> None:
        self.kind = kind
        self.repo = repo
        self.files = files
        self.revisions = {*revisions, COMMIT}
        self.requests: list[Request] = []
        self.api_faults: list[Status] = []
        self.gate: str | None = None
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

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


def _handler(hub: HubServer) -> type[BaseHTTPRequestHandler]:
    prefix = "datasets/" if hub.kind == "dataset" else ""
    api = f"/api/{hub.kind}s/{hub.repo}/"
    resolve = f"/{prefix}{hub.repo}/resolve/"

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer(with_body=True)

        def do_POST(self) -> None:
            path = unquote(urlsplit(self.path).path)
            hub.requests.append(Request(self.command, path, None, self.headers.get("Authorization")))
            verb, _, revision = path.removeprefix(api).partition("/")
            known = path.startswith(api) and verb == "paths-info" and revision in hub.revisions
            self._answer_paths() if known else self._fail(404, "EntryNotFound")

        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def log_message(self, *arguments: object) -> None:
            """Keep the test output clean; requests are recorded in `hub.requests`."""

        def _answer(self, with_body: bool) -> None:
            url = urlsplit(self.path)
            path = unquote(url.path)
            headers = self.headers
            hub.requests.append(Request(self.command, path, headers.get("Range"), headers.get("Authorization")))
            if path.startswith(api) and hub.api_faults:
                fault = hub.api_faults.pop(0)
                self._fail(fault.code, "Unavailable", fault.headers)
            elif path.startswith(api):
                self._answer_api(path.removeprefix(api))
            elif path.startswith(resolve):
                revision, _, name = path.removeprefix(resolve).partition("/")
                self._answer_resolve(revision, name, with_body)
            elif path.startswith("/content/"):
                self._send_content(path.removeprefix("/content/"), with_body)
            else:
                self._fail(404, "RepoNotFound")

        def _answer_api(self, rest: str) -> None:
            verb, _, revision = rest.partition("/")
            if verb == "auth-check":
                granted = self.headers.get("Authorization") == f"Bearer {hub.gate}"
                self._send_json({}) if granted else self._fail(403, "GatedRepo")
            elif revision.partition("/")[0] not in hub.revisions:
                self._fail(404, "RevisionNotFound")
            elif verb == "revision":
                siblings = [{"rfilename": name} for name in sorted(hub.files)]
                gated = "manual" if hub.gate else False
                info = {"id": hub.repo, "sha": COMMIT, "siblings": siblings, "tags": [], "private": False}
                self._send_json({**info, "gated": gated})
            elif verb == "tree":
                self._answer_tree(revision.partition("/")[2].strip("/"), "recursive=false" in self.path.lower())
            else:
                self._fail(404, "EntryNotFound")

        def _answer_tree(self, folder: str, direct: bool) -> None:
            below = f"{folder}/" if folder else ""
            names = [name for name in sorted(hub.files) if name.startswith(below)]
            inner = sorted(
                {name.removeprefix(below).split("/")[0] for name in names if "/" in name.removeprefix(below)}
            )
            folders = [{"type": "directory", "path": below + name, "oid": COMMIT} for name in inner] if direct else []
            files = [name for name in names if not direct or "/" not in name.removeprefix(below)]
            listed = [*folders, *(hub.files[name].tree_entry(name) for name in files)]
            self._send_json(listed) if listed else self._fail(404, "EntryNotFound")

        def _answer_paths(self) -> None:
            form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            asked = form.get("paths", [])
            folders = {path for path in asked if any(name.startswith(f"{path}/") for name in hub.files)}
            entries = [hub.files[path].tree_entry(path) for path in asked if path in hub.files]
            self._send_json([*entries, *({"type": "directory", "path": path, "oid": COMMIT} for path in folders)])

        def _answer_resolve(self, revision: str, name: str, with_body: bool) -> None:
            if revision not in hub.revisions:
                self._fail(404, "RevisionNotFound")
            elif name not in hub.files:
                self._fail(404, "EntryNotFound")
            elif hub.files[name].lfs:
                file = hub.files[name]
                self.send_response(302)
                self.send_header("Location", f"{hub.url}/content/{name}")
                self.send_header("X-Repo-Commit", COMMIT)
                self.send_header("X-Linked-Etag", f'"{file.etag}"')
                self.send_header("X-Linked-Size", str(len(file.content)))
                self.send_header("Content-Length", "0")
                self.end_headers()
            else:
                self._send_content(name, with_body)

        def _send_content(self, name: str, with_body: bool) -> None:
            file = hub.files[name]
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
            self.send_header("X-Repo-Commit", COMMIT)
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

        def _send_json(self, value: object) -> None:
            body = json.dumps(value).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _fail(self, status: int, code: str, headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            for name, value in {"X-Error-Code": code, **(headers or {})}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

    return Handler
