"""A scripted annotator behind the chat completions of an OpenAI-compatible API.

It really looks: it decodes the JPEG frames that a request shows and reads which lamp of the demo world is lit in each.
What it answers is `ANSWERS[title of the JSON schema]`, a function of what it has seen. `Noise` makes it err, fail,
throttle, stall and cut off, each by a hash of the request, so that a run with noise is the same every time.
"""

import base64
import email
import hashlib
import io
import json
import re
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
from PIL import Image

from nep.demo.world import COLOURS, LAMPS

DATA_URL = re.compile(r"^data:image/jpeg;base64,")
SECONDS = re.compile(r"(\d+(?:\.\d+)?) ?s\b")
# Of the size of a frame, as `nep.demo.world` draws it: the ring, and the disc that is read at each lamp. An unlit lamp
# fills the disc with half its colour, a lit one with its colour; the ball covers at most a third of it.
RING, DISC = 1 / 3, 1 / 13


@dataclass(frozen=True)
class Lamp:
    """A lamp as a frame shows it."""

    colour: str
    lit: bool


@dataclass(frozen=True)
class Moment:
    """One frame: the lit lamp's colour (None: none is lit), and the seconds that the text before the frame names."""

    lit: str | None
    seconds: float | None


@dataclass(frozen=True)
class Event:
    """A lamp that lights up: its colour, and the times of the first and the last frame that show it lit."""

    colour: str
    start: float | None
    end: float | None


@dataclass(frozen=True)
class Noise:
    """How the annotator fails. Shares are of requests (of events, for what it sees wrongly), drawn by `seed`.

    Attributes:
        wrong_events: share of events that it takes for another colour.
        wrong_looks: share of events that it sees wrongly when it compares a text with frames.
        wrong_times: share of events whose times it tells wrongly, by `off_s` seconds.
        broken_json: share of answers whose JSON is cut in the middle, though they end with finish_reason stop.
        wrong_form: share of answers that are JSON, but of another form.
        truncated: share of answers that are cut off with finish_reason length.
        refused: share of answers that end with finish_reason content_filter.
        failures: share of requests that end with status 500.
        storm_every, storm_length: of so many requests, so many in a row get status 429 with Retry-After.
        retry_after_s: what Retry-After says.
        stalls, stall_s: share of requests that are answered late, and by how much.
    """

    seed: int = 0
    wrong_events: float = 0.0
    wrong_looks: float = 0.0
    wrong_times: float = 0.0
    off_s: float = 1.0
    broken_json: float = 0.0
    wrong_form: float = 0.0
    truncated: float = 0.0
    refused: float = 0.0
    failures: float = 0.0
    storm_every: int = 0
    storm_length: int = 0
    retry_after_s: float = 0.05
    stalls: float = 0.0
    stall_s: float = 10.0

    def hits(self, share: float, kind: str, *what: object) -> bool:
        """Whether this kind of noise hits `what`."""
        return self.draw(kind, *what) < share

    def draw(self, kind: str, *what: object) -> float:
        """A number of [0, 1) that seed, kind and `what` decide."""
        digest = hashlib.sha256(repr((self.seed, kind, *what)).encode()).digest()
        return int.from_bytes(digest[:7]) / (1 << 56)


@dataclass(frozen=True)
class Seen:
    """A request as the annotator sees it.

    Attributes:
        body: the request's JSON.
        noise: by which it errs about events and times.
    """

    body: dict[str, Any]
    noise: Noise = field(default_factory=Noise)

    @cached_property
    def parts(self) -> list[str | np.ndarray]:
        """The parts of the user's first message in order; a frame is uint8 (height, width, 3), RGB."""
        user = next(message for message in self.body["messages"] if message["role"] == "user")
        content = user["content"]
        if isinstance(content, str):
            return [content]
        return [part["text"] if part["type"] == "text" else decode(part["image_url"]["url"]) for part in content]

    @property
    def system(self) -> str:
        """The system message."""
        return "\n".join(message["content"] for message in self.body["messages"] if message["role"] == "system")

    @property
    def text(self) -> str:
        """The text of the user's first message."""
        return "\n".join(part for part in self.parts if isinstance(part, str))

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON schema that the answer must have, of the request or (without one) at the end of the system message.

        The system message ends with it as one line.
        """
        wanted = self.body.get("response_format")
        return wanted["json_schema"]["schema"] if wanted else json.loads(self.system.splitlines()[-1])

    @property
    def reasks(self) -> int:
        """How often the answer has been asked for again."""
        return sum(message["role"] == "assistant" for message in self.body["messages"])

    @cached_property
    def frames(self) -> list[np.ndarray]:
        """The frames, in order."""
        return [part for part in self.parts if not isinstance(part, str)]

    @cached_property
    def moments(self) -> list[Moment]:
        """What each frame shows, without noise."""
        moments, seconds = [], None
        for part in self.parts:
            if isinstance(part, str):
                named = SECONDS.findall(part)
                seconds = float(named[-1]) if named else None
            else:
                moments.append(Moment(lit_colour(part), seconds))
                seconds = None
        return moments

    @cached_property
    def events(self) -> list[Event]:
        """Lamps that light up, in order, as the annotator tells them: with its noise."""
        events: list[Event] = []
        before = None
        for moment in self.moments:
            if moment.lit is not None and moment.lit != before:
                events.append(Event(moment.lit, moment.seconds, moment.seconds))
            elif moment.lit is not None:
                events[-1] = Event(moment.lit, events[-1].start, moment.seconds)
            before = moment.lit
        return [self._mistaken(number, event) for number, event in enumerate(events)]

    def _mistaken(self, number: int, event: Event) -> Event:
        what = (self.identity, number)
        if self.noise.hits(self.noise.wrong_events, "event", *what):
            others = sorted(COLOURS.keys() - {event.colour})
            event = Event(others[int(self.noise.draw("colour", *what) * len(others))], event.start, event.end)
        if event.start is not None and self.noise.hits(self.noise.wrong_times, "time", *what):
            event = Event(event.colour, event.start + self.noise.off_s, event.end + self.noise.off_s)
        return event

    @cached_property
    def identity(self) -> str:
        """A hash of the request."""
        return hashlib.sha256(json.dumps(self.body, sort_keys=True).encode()).hexdigest()


# Answers by the title of the JSON schema (the name of the pydantic model). Rooms that ask add their own.
ANSWERS: dict[str, Callable[[Seen], dict[str, Any]]] = {
    "SeenLamps": lambda seen: {"colours": [event.colour for event in seen.events]},
}


def decode(url: str) -> np.ndarray:
    """The image of a data URL: uint8 (height, width, 3), RGB. Raises ValueError for one that is no JPEG."""
    if not DATA_URL.match(url):
        raise ValueError(f"{url[:40]!r} is no JPEG as a data URL")
    image = Image.open(io.BytesIO(base64.b64decode(DATA_URL.sub("", url), validate=True)))
    if image.format != "JPEG":
        raise ValueError(f"the image is {image.format}")
    return np.asarray(image.convert("RGB"))


def lamps(frame: np.ndarray) -> list[Lamp]:
    """The lamps by their places on the ring, from the top clockwise."""
    return [_lamp(frame, place) for place in range(LAMPS)]


def lit_colour(frame: np.ndarray) -> str | None:
    """Colour of the lamp that is lit in a frame; None where none is."""
    lit = [lamp.colour for lamp in lamps(frame) if lamp.lit]
    return lit[0] if len(lit) == 1 else None


def _lamp(frame: np.ndarray, place: int) -> Lamp:
    height, width, _ = frame.shape
    angle = 2 * np.pi * place / LAMPS - np.pi / 2
    rows, columns = np.mgrid[:height, :width] + 0.5
    x, y = (0.5 + RING * np.cos(angle)) * width, (0.5 + RING * np.sin(angle)) * height
    disc = ((columns - x) / width) ** 2 + ((rows - y) / height) ** 2 < DISC**2
    found = np.median(frame[disc], axis=0)
    shades = {(colour, lit): np.array(rgb) * (1 if lit else 0.5) for colour, rgb in COLOURS.items() for lit in (0, 1)}
    colour, lit = min(shades, key=lambda shade: float(np.square(shades[shade] - found).sum()))
    return Lamp(colour, bool(lit))


class Annotator:
    """The server, from `with` to its end.

    Attributes:
        noise: how it fails; may be changed while it runs.
        key: the key that it asks for; None: it takes any.
        url: its address.
        statuses: how many responses had each HTTP status.
        titles: how many answers had each title of a schema.
        times: when each request came, seconds of the monotonic clock.
        most_at_once: the most requests that were there at once.
        bodies: the requests' JSON, in the order of their coming, where `remember` is set.
        files: what was uploaded, and what batches have given.
        batches: polls left, state and files of each batch.
        batch_polls: how often a batch is still in progress when it is asked about.
    """

    def __init__(
        self,
        noise: Noise | None = None,
        *,
        key: str | None = None,
        answers: dict[str, Callable[[Seen], dict[str, Any]]] = ANSWERS,
        remember: bool = False,
        port: int = 0,
    ) -> None:
        self.noise = noise or Noise()
        self.key = key
        self.statuses: Counter[int] = Counter()
        self.titles: Counter[str] = Counter()
        self.times: list[float] = []
        self.most_at_once = 0
        self.bodies: list[dict[str, Any]] | None = [] if remember else None
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, list[Any]] = {}
        self.batch_polls = 1
        self._answers = answers
        self._tries: Counter[str] = Counter()
        self._came = 0
        self._now = 0
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", port), _handler_of(self))
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"

    def __enter__(self) -> "Annotator":
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def requests(self) -> int:
        """How many requests came, answered or not."""
        return self.statuses.total()

    def start_batch(self, lines: bytes, key: str | None) -> dict[str, Any]:
        """A batch whose requests are answered now and handed out after `batch_polls` questions about it."""
        outcomes: dict[bool, list[bytes]] = {True: [], False: []}
        for row in map(json.loads, lines.splitlines()):
            status, _, content = self.reply(row["body"], key)
            response = {"status_code": status, "body": content}
            outcome = {"custom_id": row["custom_id"], "response": response, "error": None}
            outcomes[status == 200].append(json.dumps(outcome).encode() + b"\n")
        with self._lock:
            names = {good: self.keep_file(b"".join(part)) if part else None for good, part in outcomes.items()}
            batch = {"id": f"batch-{len(self.batches)}", "object": "batch", "endpoint": "/v1/chat/completions"}
            batch |= {"input_file_id": "", "completion_window": "24h", "created_at": 0, "status": "in_progress"}
            self.batches[batch["id"]] = [self.batch_polls, batch, names]
        return batch

    def batch(self, name: str) -> dict[str, Any]:
        """How a batch stands."""
        with self._lock:
            state = self.batches[name]
            state[0] -= 1
            _, batch, names = state
        done = {"status": "completed", "output_file_id": names[True], "error_file_id": names[False]}
        return batch | done if state[0] < 0 else batch

    def keep_file(self, content: bytes) -> str:
        """Keep a file; its name."""
        name = f"file-{len(self.files)}"
        self.files[name] = content
        return name

    def reply(self, body: dict[str, Any], key: str | None) -> tuple[int, dict[str, str], dict[str, Any]]:
        """Status, headers and body of the response to one request."""
        with self._lock:
            self._now += 1
            self.times.append(time.monotonic())
            self.most_at_once = max(self.most_at_once, self._now)
        try:
            status, headers, content = self._reply(body, key)
        finally:
            with self._lock:
                self._now -= 1
        with self._lock:
            self.statuses[status] += 1
        return status, headers, content

    def _reply(self, body: dict[str, Any], key: str | None) -> tuple[int, dict[str, str], dict[str, Any]]:
        if self.key is not None and key != f"Bearer {self.key}":
            return 401, {}, _error(f"Incorrect API key provided: {key}")
        seen = Seen(body, self.noise)
        with self._lock:
            self._came += 1
            came = self._came - 1
            self._tries[seen.identity] += 1
            tried = self._tries[seen.identity]
            if self.bodies is not None:
                self.bodies.append(body)
        noise, what = self.noise, (seen.identity, tried)
        if noise.storm_every and came % noise.storm_every < noise.storm_length:
            return 429, {"Retry-After": str(noise.retry_after_s)}, _error("slow down")
        if noise.hits(noise.failures, "failure", *what):
            return 500, {}, _error("failed")
        if noise.hits(noise.stalls, "stall", *what):
            time.sleep(noise.stall_s)
        try:
            title = seen.schema["title"]
            answer = self._answers[title](seen)
        except (KeyError, ValueError, StopIteration) as error:
            return 400, {}, _error(f"{type(error).__name__}: {error}")
        with self._lock:
            self.titles[title] += 1
        return 200, {}, self._completion(body, answer, what)

    def _completion(self, body: dict[str, Any], answer: dict[str, Any], what: tuple[object, ...]) -> dict[str, Any]:
        text, finish = json.dumps(answer), "stop"
        noise = self.noise
        if noise.hits(noise.refused, "refused", *what):
            text, finish = "", "content_filter"
        elif noise.hits(noise.truncated, "truncated", *what):
            text, finish = text[: len(text) // 2], "length"
        elif noise.hits(noise.broken_json, "broken", *what):
            text = text[: len(text) // 2]
        elif noise.hits(noise.wrong_form, "form", *what):
            text = json.dumps({"answer": answer})
        message = {"role": "assistant", "content": text}
        prompt = sum(len(json.dumps(entry)) for entry in body["messages"]) // 4
        usage = {"prompt_tokens": prompt, "completion_tokens": len(text) // 4 + 1}
        usage["total_tokens"] = sum(usage.values())
        choice = {"index": 0, "finish_reason": finish, "message": message}
        fixed = {"id": "1", "object": "chat.completion", "created": 0, "model": body["model"]}
        return {**fixed, "choices": [choice], "usage": usage}


class _Server(ThreadingHTTPServer):
    request_queue_size = 256
    daemon_threads = True


def _handler_of(annotator: Annotator) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # A response is one packet: otherwise it waits for the acknowledgement of its headers.
        wbufsize = -1
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            _, kind, *name = self.path.removeprefix("/v1").split("/")
            if kind == "health":
                self._send(200, {}, {})
            elif kind == "batches" and name[0] in annotator.batches:
                self._send(200, {}, annotator.batch(name[0]))
            elif kind == "files" and name[0] in annotator.files:
                self._write(200, {}, annotator.files[name[0]])
            else:
                self._send(404, {}, _error("no such path"))

        def do_POST(self) -> None:
            data, key = self.rfile.read(int(self.headers["Content-Length"])), self.headers["Authorization"]
            if self.path == "/v1/chat/completions":
                self._send(*annotator.reply(json.loads(data), key))
            elif self.path == "/v1/files":
                head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
                parts = email.message_from_bytes(head + data).get_payload()
                (content,) = (part.get_payload(decode=True) for part in parts if part.get_filename())
                self._send(200, {}, {"id": annotator.keep_file(content), "object": "file"})
            elif self.path == "/v1/batches":
                self._send(200, {}, annotator.start_batch(annotator.files[json.loads(data)["input_file_id"]], key))
            else:
                self._send(404, {}, _error("no such path"))

        def _send(self, status: int, headers: dict[str, str], content: dict[str, Any]) -> None:
            self._write(status, headers, json.dumps(content).encode())

        def _write(self, status: int, headers: dict[str, str], data: bytes) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Type": "application/json", "Content-Length": len(data)}.items():
                self.send_header(name, str(value))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    return Handler


def _error(message: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": "scripted"}}
