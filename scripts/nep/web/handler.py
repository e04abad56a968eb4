"""Requests to a page of this machine: who may ask, and how answers are sent."""

import json
import re
import secrets
import socket
from collections.abc import Collection, Generator
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from nep.errors import InputError

ADDRESS, EVERYWHERE = "127.0.0.1", "0.0.0.0"
# Names of this machine in its own browser.
NAMES = frozenset({ADDRESS, "localhost"})
CHUNK_BYTES = 1 << 16
TOKEN_HEADER = "X-Page-Token"
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")


def new_token() -> str:
    """A path that nobody guesses: every address of a page lies below it."""
    return secrets.token_urlsafe(24)


def policy(script_hash: str, *, images: str = "", framed_by: str = "'none'") -> str:
    """The content security policy of a page with one script, which its hash names: nothing from anywhere else."""
    return (
        f"default-src 'none'; media-src 'self'; connect-src 'self'; style-src 'unsafe-inline'; {images}"
        f"script-src 'sha256-{script_hash}'; base-uri 'none'; form-action 'none'; frame-ancestors {framed_by}"
    )


class PageHandler(BaseHTTPRequestHandler):
    """Answers one request below the page's token, which no other page and no other user knows.

    Attributes:
        token: first part of every path.
        names: host names by which the page is asked; None for any (a page that is not for this machine alone).
        is_public: whether `/` leads to the page, for all who come.
        bodies: content types that the page sends.
    """

    token: str
    names: Collection[str] | None = NAMES
    is_public = False
    bodies: Collection[str] = ("application/json",)

    def answer_get(self, path: str) -> None:
        """Answer a GET of a path below the token."""
        raise NotImplementedError

    def answer_post(self, path: str) -> None:
        """Answer a POST of the page itself to a path below the token."""
        raise NotImplementedError

    def do_GET(self) -> None:
        """What is asked for, where the token is known."""
        with suppress(ConnectionError):  # A browser leaves a video before its end.
            path = self._path_below_token()
            if path is not None:
                self.answer_get(path)
            elif self.is_public and self.path == "/":
                self.redirect("")
            else:
                self.send_text(HTTPStatus.FORBIDDEN, "open the address that was printed when the page was started")

    def do_POST(self) -> None:
        """What is sent: only by the page itself, whose token a header repeats."""
        with suppress(ConnectionError):
            path = self._path_below_token()
            if path is None or not self._is_from_the_page():
                self.send_text(HTTPStatus.FORBIDDEN, "not sent by this page")
            else:
                self.answer_post(path)

    def log_message(self, *_: Any) -> None:
        """Quiet."""

    def body_length(self, most: int) -> int | None:
        """Number of bytes of the body; None, and it is refused, where it is not told or above `most`."""
        length = self.headers.get("Content-Length") or ""
        if length.isdecimal() and int(length) <= most:
            return int(length)
        self.close_connection = True
        self.send_json(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, {"error": f"at most {most} bytes are taken"})
        return None

    def send_text(self, status: HTTPStatus, text: str) -> None:
        """Plain text."""
        self.send_whole(status, f"{text}\n".encode(), "text/plain; charset=utf-8")

    def send_json(self, status: HTTPStatus, value: Any) -> None:
        """JSON."""
        self.send_whole(status, json.dumps(value).encode(), "application/json")

    def send_page(self, html: str, policy: str) -> None:
        """A page under its content security policy."""
        self.send_whole(HTTPStatus.OK, html.encode(), "text/html; charset=utf-8", {"Content-Security-Policy": policy})

    def send_whole(self, status: HTTPStatus, body: bytes, kind: str, headers: dict[str, str] | None = None) -> None:
        """A body that is at hand."""
        self.begin(status, kind, {**(headers or {}), "Content-Length": str(len(body))})
        self.wfile.write(body)

    def send_lines(self, values: Generator[Any, None, None]) -> None:
        """JSON lines, each when it is made; the generator is closed where nobody listens any more."""
        self.begin(HTTPStatus.OK, "application/x-ndjson", {"X-Accel-Buffering": "no"})
        try:
            for value in values:
                self.wfile.write(json.dumps(value).encode() + b"\n")
        finally:
            values.close()

    def send_file(self, file: Path, kind: str) -> None:
        """A file, or the range of it that is asked for."""
        size = file.stat().st_size
        begin, end = self._range(size)
        if begin >= size:
            self.send_whole(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, b"", kind, {"Content-Range": f"bytes */{size}"})
            return
        headers = {"Content-Length": str(end - begin + 1), "Accept-Ranges": "bytes"}
        if "Range" in self.headers:
            self.begin(HTTPStatus.PARTIAL_CONTENT, kind, {**headers, "Content-Range": f"bytes {begin}-{end}/{size}"})
        else:
            self.begin(HTTPStatus.OK, kind, headers)
        self._copy(file, begin, end - begin + 1)

    def redirect(self, path: str) -> None:
        """To another path below the token."""
        self.begin(HTTPStatus.FOUND, "text/plain", {"Location": f"/{self.token}/{path}", "Content-Length": "0"})

    def begin(self, status: HTTPStatus, kind: str, headers: dict[str, str]) -> None:
        """Status and headers."""
        self.send_response(status)
        common = {
            "Content-Type": kind,
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            # The address holds the token.
            "Referrer-Policy": "no-referrer",
        }
        for name, value in {**common, **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def _path_below_token(self) -> str | None:
        """The path behind the token; None for another host's name (DNS rebinding) or another token."""
        host = (self.headers.get("Host") or "").rpartition(":")[0]
        _, token, rest = (*self.path.split("/", 2), "")[:3]
        known = secrets.compare_digest(token.encode(), self.token.encode())
        return rest if known and (self.names is None or host in self.names) else None

    def _is_from_the_page(self) -> bool:
        origin, host = self.headers.get("Origin"), self.headers["Host"]
        return (
            secrets.compare_digest((self.headers.get(TOKEN_HEADER) or "").encode(), self.token.encode())
            and self.headers.get("Content-Type") in self.bodies
            and (self.is_public or origin in (None, f"http://{host}"))
        )

    def _range(self, size: int) -> tuple[int, int]:
        """First and last byte that are asked for."""
        found = _RANGE.fullmatch(self.headers.get("Range", "bytes=0-"))
        if found is None:
            return 0, size - 1
        return int(found[1]), min(int(found[2] or size - 1), size - 1)

    def _copy(self, file: Path, begin: int, count: int) -> None:
        with file.open("rb") as stream:
            stream.seek(begin)
            while count > 0 and (chunk := stream.read(min(CHUNK_BYTES, count))):
                self.wfile.write(chunk)
                count -= len(chunk)


def page_server(handler: type[PageHandler], host: str = ADDRESS, port: int = 0) -> ThreadingHTTPServer:
    """A server that answers each request by `handler`; port 0 takes a free one. Raises InputError for one in use."""
    try:
        return ThreadingHTTPServer((host, port), handler)
    except OSError as error:
        raise InputError(f"{host}, port {port}: {error.strerror}; name another one by --port") from None


def address_of(server: ThreadingHTTPServer, token: str) -> str:
    """Where the page of a server begins: for one that listens at all addresses, by the machine's name."""
    host = server.server_address[0]
    return f"http://{socket.gethostname() if host == EVERYWHERE else host}:{server.server_port}/{token}/"
