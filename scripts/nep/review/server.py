"""The server of the page: on this machine alone, below a path that only its user knows."""

import json
import re
import secrets
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from nep.review.page import render_question
from nep.review.parts import PartName, Parts
from nep.review.session import Refused, Session
from nep.rows.quarantine import Rejection

ADDRESS = "127.0.0.1"
NAMES = {ADDRESS, "localhost"}
MOST_BYTES = 64 * 1024
CHUNK_BYTES = 1 << 16
_PAGE = re.compile(r"q/([1-9]\d{0,8})")
_PART = re.compile(r"part/([1-9]\d{0,8})/(first|second)\.mp4")
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")


@dataclass(frozen=True)
class Review:
    """What is served. Every address lies below the token, which no other page and no other user knows."""

    session: Session
    parts: Parts
    run: str
    token: str = field(default_factory=lambda: secrets.token_urlsafe(24))

    def prepare(self, place: int | None) -> None:
        """Cut the video of a question that will be asked for soon."""
        if place is not None:
            # Where it cannot be cut, the page of that question says so.
            with suppress(Rejection):
                self.parts.file(self.session.questions[place], "first")


def review_server(review: Review, port: int = 0) -> ThreadingHTTPServer:
    """A server on 127.0.0.1; port 0 takes a free one."""

    class Handler(ReviewHandler):
        served = review

    return ThreadingHTTPServer((ADDRESS, port), Handler)


def address_of(server: ThreadingHTTPServer, review: Review) -> str:
    """Where the review begins."""
    return f"http://{ADDRESS}:{server.server_port}/{review.token}/"


class ReviewHandler(BaseHTTPRequestHandler):
    """Answers one request."""

    served: Review

    def do_GET(self) -> None:
        """A question's page, a part of its video, or the way to the first question that is open."""
        with suppress(ConnectionError):  # A browser leaves a video before its end.
            self._get()

    def do_POST(self) -> None:
        """A decision, as JSON: only from the page itself, whose token the header X-Review-Token repeats."""
        path = self._path_below_token()
        if path is None or not self._is_from_the_page():
            self._send_text(HTTPStatus.FORBIDDEN, "not from the page of this review")
        elif path != "decision":
            self._send_text(HTTPStatus.NOT_FOUND, "no such address")
        else:
            self._decide()

    def log_message(self, *_: Any) -> None:
        """Quiet."""

    def _get(self) -> None:
        path = self._path_below_token()
        if path is None:
            self._send_text(HTTPStatus.FORBIDDEN, "open the address that `make review` printed")
        elif path == "":
            self._redirect(self.served.session.next_undecided() or 0)
        elif (found := _PAGE.fullmatch(path)) and (place := self._place(found[1])) is not None:
            self._send_page(place)
        elif (found := _PART.fullmatch(path)) and (place := self._place(found[1])) is not None:
            self._send_part(place, found[2])
        else:
            self._send_text(HTTPStatus.NOT_FOUND, "no such address")

    def _path_below_token(self) -> str | None:
        """The path behind the token; None for another host's name (DNS rebinding) or another token."""
        host = (self.headers.get("Host") or "").rpartition(":")[0]
        _, token, rest = (*self.path.split("/", 2), "")[:3]
        known = secrets.compare_digest(token.encode(), self.served.token.encode())
        return rest if known and host in NAMES else None

    def _is_from_the_page(self) -> bool:
        origin = self.headers.get("Origin")
        return (
            secrets.compare_digest((self.headers.get("X-Review-Token") or "").encode(), self.served.token.encode())
            and self.headers.get("Content-Type") == "application/json"
            and origin in (None, f"http://{self.headers['Host']}")
        )

    def _place(self, number: str) -> int | None:
        place = int(number) - 1
        return place if place < len(self.served.session.questions) else None

    def _decide(self) -> None:
        length = self.headers.get("Content-Length") or ""
        if not length.isdecimal() or int(length) > MOST_BYTES:
            self._send_json(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE, {"error": f"a decision has {MOST_BYTES} bytes at most"}
            )
            return
        try:
            place = self.served.session.decide(self.rfile.read(int(length)))
        except Refused as refused:
            self._send_json(HTTPStatus.BAD_REQUEST, {"error": str(refused)})
            return
        following = self.served.session.next_undecided(place)
        self._send_json(HTTPStatus.OK, {"next": f"{(place if following is None else following) + 1}"})

    def _send_page(self, place: int) -> None:
        review = self.served
        html, script = render_question(review.session, place, review.run, review.token)
        policy = (
            "default-src 'none'; media-src 'self'; connect-src 'self'; style-src 'unsafe-inline'; "
            f"script-src 'sha256-{script}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        self._send(HTTPStatus.OK, html.encode(), "text/html; charset=utf-8", {"Content-Security-Policy": policy})
        threading.Thread(target=review.prepare, args=(review.session.next_undecided(place),), daemon=True).start()

    def _send_part(self, place: int, part: PartName) -> None:
        try:
            file = self.served.parts.file(self.served.session.questions[place], part)
        except Rejection as rejection:
            self._send_text(HTTPStatus.NOT_FOUND, str(rejection))
            return
        size = file.stat().st_size
        begin, end = self._range(size)
        if begin >= size:
            self._send(
                HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, b"", "video/mp4", {"Content-Range": f"bytes */{size}"}
            )
            return
        status = HTTPStatus.PARTIAL_CONTENT if "Range" in self.headers else HTTPStatus.OK
        self._begin(status, "video/mp4", end - begin + 1)
        self.send_header("Accept-Ranges", "bytes")
        if status == HTTPStatus.PARTIAL_CONTENT:
            self.send_header("Content-Range", f"bytes {begin}-{end}/{size}")
        self.end_headers()
        self._copy(file, begin, end - begin + 1)

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

    def _redirect(self, place: int) -> None:
        self._begin(HTTPStatus.FOUND, "text/plain", 0)
        self.send_header("Location", f"/{self.served.token}/q/{place + 1}")
        self.end_headers()

    def _send_text(self, status: HTTPStatus, text: str) -> None:
        self._send(status, f"{text}\n".encode(), "text/plain; charset=utf-8", {})

    def _send_json(self, status: HTTPStatus, value: dict[str, Any]) -> None:
        self._send(status, json.dumps(value).encode(), "application/json", {})

    def _send(self, status: HTTPStatus, body: bytes, kind: str, headers: dict[str, str]) -> None:
        self._begin(status, kind, len(body))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _begin(self, status: HTTPStatus, kind: str, length: int) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(length))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        # The address holds the token.
        self.send_header("Referrer-Policy", "no-referrer")
