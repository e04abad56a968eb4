"""A model behind an OpenAI-compatible API that predicts."""

import base64
import io
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from support.chat_server import ChatServer

from nep.config.endpoint import Endpoint
from nep.data.prompts import Prompts
from nep.errors import InputError
from nep.predict.ask import Ask
from nep.predict.first_part import FirstParts
from nep.predict.opening import Choice, open_predictor

BUDGET = {"frames": 4, "max_pixels": 3136}


class RefusingServer:
    """A server that refuses every request, with a message."""

    def __init__(self, message: str) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                body = json.dumps({"error": {"message": message}}).encode()
                self.send_response(401)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Quiet."""

        self._server = HTTPServer(("127.0.0.1", 0), Handler)

    def __enter__(self) -> str:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    def __exit__(self, *_: Any) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret")


def test_frames_and_question_are_sent_and_the_answer_comes_in_pieces(
    video: Path, prompts: Prompts, parts: FirstParts
) -> None:
    asked: list[str] = []

    def answer(text: str) -> str:
        asked.append(text)
        return "<think>Up.</think><answer>B</answer>"

    with ChatServer(answer) as server:
        choice = Choice(endpoint=Endpoint(url=server.url, model="m"), budget=BUDGET)
        opened = open_predictor(choice, prompts, parts)
        ask = Ask(video, 1.5, options=("It darkens.", "It lights up."))
        stream = opened.predictor.stream(ask)
        pieces = list(stream)
    assert "".join(pieces) == "<think>Up.</think><answer>B</answer>" and len(pieces) > 9
    assert (opened.name, stream.tokens, server.keys) == ("m", 36, {"Bearer secret"})
    question = prompts.multiple_choice(prompts.question_pools.next_event_mc[1][0], ask.lettered, "reason")
    assert asked == ["0.0 s0.5 s0.9 s1.4 s" + question]
    clip = opened.predictor.clip(ask)
    sent = [Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))) for url in server.images[0]]
    assert [image.size for image in sent] == [clip.frames.shape[2:0:-1]] * 4 == [(56, 56)] * 4
    levels = [pixels.mean() for pixels in clip.frames]
    assert [image.convert("L").getpixel((28, 28)) for image in sent] == pytest.approx(levels, abs=3)


def test_an_endpoint_that_gives_no_answer_is_named_without_its_key(
    video: Path, prompts: Prompts, parts: FirstParts
) -> None:
    with RefusingServer("this key is refused: secret") as url:
        opened = open_predictor(Choice(endpoint=Endpoint(url=url, model="m"), budget=BUDGET), prompts, parts)
        stream = opened.predictor.stream(Ask(video, 1.5))
        with pytest.raises(InputError, match=rf"^{url}, model 'm': no answer \(.*\[OPENAI_API_KEY\]"):
            list(stream)
    stream = opened.predictor.stream(Ask(video, 1.5))
    with pytest.raises(InputError, match=r"no answer \(.*Connection refused"):
        list(stream)


def test_a_missing_key_is_said(prompts: Prompts, parts: FirstParts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    endpoint = Endpoint(url="http://127.0.0.1:9/v1", model="m")
    with pytest.raises(InputError, match="the environment has no OPENAI_API_KEY"):
        open_predictor(Choice(endpoint=endpoint), prompts, parts)
