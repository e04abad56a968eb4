"""The server of the page: on this machine alone, below a path that only its user knows."""

import re
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import ThreadingHTTPServer

from nep.review.page import render_question
from nep.review.parts import PartName, Parts
from nep.review.session import Refused, Session
from nep.rows.quarantine import Rejection
from nep.web.handler import PageHandler, new_token, page_server, policy

MOST_BYTES = 64 * 1024
_PAGE = re.compile(r"q/([1-9]\d{0,8})")
_PART = re.compile(r"part/([1-9]\d{0,8})/(first|second)\.mp4")


@dataclass(frozen=True)
class Review:
    """What is served, and the token below which it is."""

    session: Session
    parts: Parts
    run: str
    token: str = field(default_factory=new_token)

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
        token = review.token

    return page_server(Handler, port=port)


class ReviewHandler(PageHandler):
    """Answers one request."""

    served: Review

    def answer_get(self, path: str) -> None:
        """A question's page, a part of its video, or the way to the first question that is open."""
        if path == "":
            self.redirect(f"q/{(self.served.session.next_undecided() or 0) + 1}")
        elif (found := _PAGE.fullmatch(path)) and (place := self._place(found[1])) is not None:
            self._send_question(place)
        elif (found := _PART.fullmatch(path)) and (place := self._place(found[1])) is not None:
            self._send_part(place, found[2])
        else:
            self.send_text(HTTPStatus.NOT_FOUND, "no such address")

    def answer_post(self, path: str) -> None:
        """A decision, as JSON."""
        if path == "decision":
            self._decide()
        else:
            self.send_text(HTTPStatus.NOT_FOUND, "no such address")

    def _place(self, number: str) -> int | None:
        place = int(number) - 1
        return place if place < len(self.served.session.questions) else None

    def _decide(self) -> None:
        length = self.body_length(MOST_BYTES)
        if length is None:
            return
        try:
            place = self.served.session.decide(self.rfile.read(length))
        except Refused as refused:
            self.send_json(HTTPStatus.BAD_REQUEST, {"error": str(refused)})
            return
        following = self.served.session.next_undecided(place)
        self.send_json(HTTPStatus.OK, {"next": f"{(place if following is None else following) + 1}"})

    def _send_question(self, place: int) -> None:
        review = self.served
        html, script = render_question(review.session, place, review.run, review.token)
        self.send_page(html, policy(script))
        threading.Thread(target=review.prepare, args=(review.session.next_undecided(place),), daemon=True).start()

    def _send_part(self, place: int, part: PartName) -> None:
        try:
            file = self.served.parts.file(self.served.session.questions[place], part)
        except Rejection as rejection:
            self.send_text(HTTPStatus.NOT_FOUND, str(rejection))
            return
        self.send_file(file, "video/mp4")
