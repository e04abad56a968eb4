"""The server of the page: below a path that only its user knows, or for all who come where it is made public."""

import re
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import asdict, dataclass, field
from http import HTTPStatus
from http.server import ThreadingHTTPServer
from typing import Annotated, Any
from urllib.parse import unquote

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nep.app.examples import Example
from nep.app.models import Event, Models
from nep.app.page import render_app
from nep.app.videos import MOST_BYTES, Picture, ShownVideo, Videos, seen_pictures
from nep.data.prompts import Variant
from nep.errors import InputError
from nep.predict.ask import Ask
from nep.rows.quarantine import Rejection
from nep.web.handler import ADDRESS, NAMES, PageHandler, new_token, page_server

MOST_BYTES_OF_A_QUESTION = 64 * 1024
_VIDEO = re.compile(r"video/([0-9a-f]{16})/(facts|file|strip|poster|seen)(?:\?at=(\d{1,6}(?:\.\d{1,6})?))?")
_UPLOAD = re.compile(r"upload\?name=([^&]{0,2000})")


class Asked(BaseModel):
    """What the page sends: a video by its key, the cut in seconds, and how which models are asked."""

    model_config = ConfigDict(extra="forbid")

    video: str
    at: float
    question: Annotated[str, Field(max_length=1000)]
    options: Annotated[list[Annotated[str, Field(max_length=500)]], Field(max_length=4)]
    variant: Variant
    temperature: Annotated[float, Field(ge=0, le=2)]
    samples: Annotated[int, Field(ge=1, le=8)]
    models: Annotated[list[str], Field(min_length=1)]


@dataclass(frozen=True)
class App:
    """What is served. `examples`: questions with the keys of their videos; `is_public`: for all, without the token."""

    run: str
    models: Models
    videos: Videos
    examples: tuple[tuple[ShownVideo, Example], ...] = ()
    is_public: bool = False
    token: str = field(default_factory=new_token)

    def start(self) -> dict[str, Any]:
        """What the page begins with."""
        return {"examples": [_example_json(video, example) for video, example in self.examples]}

    def ask(self, asked: Asked) -> Ask:
        """The question to the models. Raises InputError for one that cannot be asked, KeyError for an unknown video."""
        unknown = set(asked.models) - {model.path for model in self.models.listed.models}
        if unknown:
            raise InputError(f"no model {sorted(unknown)[0]!r}")
        return Ask(
            video=self.videos[asked.video].file,
            moment=asked.at,
            question=asked.question.strip() or None,
            options=tuple(asked.options),
            variant=asked.variant,
            temperature=asked.temperature,
        )


def app_server(app: App, host: str = ADDRESS, port: int = 0) -> ThreadingHTTPServer:
    """A server; port 0 takes a free one. Off 127.0.0.1, it answers to any name of the machine."""

    class Handler(AppHandler):
        served = app
        token = app.token
        is_public = app.is_public
        names = NAMES if host == ADDRESS and not app.is_public else None

    return page_server(Handler, host, port)


class AppHandler(PageHandler):
    """Answers one request."""

    served: App
    bodies = ("application/json", "application/octet-stream")

    def answer_get(self, path: str) -> None:
        """The page, what it begins with, how far the models are, or something of a video."""
        app = self.served
        if path == "":
            self.send_page(*render_app(app.run, app.token, app.is_public))
        elif path == "start":
            self.send_json(HTTPStatus.OK, app.start())
        elif path == "models":
            self.send_json(HTTPStatus.OK, app.models.state())
        elif found := _VIDEO.fullmatch(path):
            self._of_video(*found.groups())
        else:
            self.send_text(HTTPStatus.NOT_FOUND, "no such address")

    def answer_post(self, path: str) -> None:
        """An upload, or a question."""
        if found := _UPLOAD.fullmatch(path):
            self._receive(unquote(found[1]))
        elif path == "predict":
            self._predict()
        else:
            self.send_text(HTTPStatus.NOT_FOUND, "no such address")

    def _of_video(self, key: str, what: str, at: str | None) -> None:
        try:
            video = self.served.videos[key]
        except KeyError:
            self.send_json(HTTPStatus.NOT_FOUND, {"error": "this video is gone; choose it again"})
            return
        moment = float(at or 0)
        if what == "file":
            self.send_file(video.file, video.facts().media_type)
        else:
            made: dict[str, Callable[[], Any]] = {
                "facts": video.to_json,
                "strip": lambda: _pictures_json(video.strip()),
                "poster": lambda: _pictures_json(video.pictures([moment])),
                "seen": lambda: self._seen(video, moment),
            }
            self._send_made(video, made[what])

    def _seen(self, video: ShownVideo, moment: float) -> dict[str, Any]:
        clip = self.served.models.clip(Ask(video.file, moment))
        _, height, width, _ = clip.frames.shape
        return {**_pictures_json(seen_pictures(clip)), "height": height, "width": width}

    def _send_made(self, video: ShownVideo, make: Callable[[], Any]) -> None:
        try:
            self.send_json(HTTPStatus.OK, make())
        except Rejection as rejection:
            self.send_json(HTTPStatus.BAD_REQUEST, {"error": f"{video.name}: {rejection.detail}"})
        except InputError as error:
            self.send_json(HTTPStatus.BAD_REQUEST, {"error": _named(str(error), video)})

    def _receive(self, name: str) -> None:
        length = self.body_length(MOST_BYTES)
        if length is None:
            return
        try:
            self.send_json(HTTPStatus.OK, self.served.videos.receive(name, self.rfile, length).to_json())
        except InputError as error:
            self.send_json(HTTPStatus.BAD_REQUEST, {"error": str(error)})

    def _predict(self) -> None:
        length = self.body_length(MOST_BYTES_OF_A_QUESTION)
        if length is None:
            return
        try:
            asked = Asked.model_validate_json(self.rfile.read(length))
            ask = self.served.ask(asked)
        except ValidationError as error:
            problem = error.errors()[0]
            self.send_json(HTTPStatus.BAD_REQUEST, {"error": f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}"})
        except KeyError:
            self.send_json(HTTPStatus.BAD_REQUEST, {"error": "this video is gone; choose it again"})
        except InputError as error:
            self.send_json(HTTPStatus.BAD_REQUEST, {"error": str(error)})
        else:
            events = self.served.models.answers(ask, asked.models, asked.samples)
            self.send_lines(_with_names(events, self.served.videos[asked.video]))


def _with_names(events: Generator[Event, None, None], video: ShownVideo) -> Generator[Event, None, None]:
    with closing(events):
        for event in events:
            yield {**event, "error": _named(event["error"], video)} if "error" in event else event


def _named(message: str, video: ShownVideo) -> str:
    """A message with the video's name in the place of our file's."""
    return message.replace(str(video.file), video.name)


def _pictures_json(pictures: list[Picture]) -> dict[str, Any]:
    return {"frames": [asdict(picture) for picture in pictures]}


def _example_json(video: ShownVideo, example: Example) -> dict[str, Any]:
    question = example.question
    return {
        "video": video.key,
        "cut": example.cut,
        "kind": example.kind,
        "question": question.question,
        "options": question.options,
        "answer": question.answer,
        "happened": example.record.caption_part2,
    }
