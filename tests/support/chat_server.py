"""A server on this machine that speaks the chat completions of an OpenAI-compatible API."""

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class ChatServer:
    """Answers each request by `answer` of its text; keeps the keys and the images that came with the requests."""

    def __init__(self, answer: Callable[[str], str]) -> None:
        self.keys: set[str] = set()
        self.images: list[list[str]] = []
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                parts = [part for message in request["messages"] for part in message["content"]]
                owner.keys.add(self.headers["Authorization"])
                owner.images.append([part["image_url"]["url"] for part in parts if part["type"] == "image_url"])
                text = "".join(part["text"] for part in parts if part["type"] == "text")
                streams = request.get("stream", False)
                made = streamed if streams else completion
                body = made(request["model"], answer(text)).encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream" if streams else "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"

    def __enter__(self) -> "ChatServer":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._server.shutdown()
        self._server.server_close()


def completion(model: str, text: str) -> str:
    """The body of a response."""
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "finish_reason": "stop", "message": message}
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    body = {"id": "1", "object": "chat.completion", "created": 0, "model": model, "choices": [choice], "usage": usage}
    return json.dumps(body)


def streamed(model: str, text: str) -> str:
    """The body of a response by server-sent events, a character each, then the usage."""
    common = {"id": "1", "object": "chat.completion.chunk", "created": 0, "model": model}
    events = [
        {**common, "choices": [{"index": 0, "finish_reason": None, "delta": {"content": letter}}]} for letter in text
    ]
    usage = {"prompt_tokens": 1, "completion_tokens": len(text), "total_tokens": 1 + len(text)}
    events.append({**common, "choices": [], "usage": usage})
    return "".join(f"data: {line}\n\n" for line in [*map(json.dumps, events), "[DONE]"])
