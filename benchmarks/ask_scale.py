"""Asking about 10,000 videos: what it costs on our side, and what a second run costs.

    PYTHONPATH=scripts .venv/bin/python benchmarks/ask_scale.py [--videos 10000]

Eight questions a video, as the published recipe has them: two show 16 frames (random bytes, 12 kB each), six hold the
text of the answer before. The endpoint is a process that reads the request and answers at once with a text of 400
characters: nothing is rendered, decoded or thought, so that what is measured is this side. Each pass is a process of
its own: all videos; the same again; with one in a hundred more. Measured: requests that came to the endpoint, wall and
processor seconds, seconds to open the kept answers, resident memory after each tenth of the videos. Writes
`benchmarks/results/ask_scale.json`.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import random
import re
import shutil
import time
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psutil

from measure import WORK, write_result
from nep.ask.answers import Answers
from nep.ask.asker import Asker, for_each
from nep.ask.request import Answer, Frame, Request
from nep.config.asked_endpoint import AskedEndpoint

VIDEOS = 10_000
FRAMES, FRAME_BYTES = 16, 12_000
VISION_STEPS = (0, 3)
STEPS = 8
ANSWER_CHARACTERS = 400
AT_ONCE = 32
LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)
LIMITS = {"requests a CPU second": 100, "memory growth, MiB": 100, "re-run, CPU ms a video": 20}


class Told(Answer):
    """What the endpoint answers."""

    text: str


@dataclass(frozen=True)
class Pass:
    """One pass over the videos. `rss_mib`: after each tenth of them."""

    videos: int
    requests: int
    wall_s: float
    cpu_s: float
    open_s: float
    rss_mib: list[float]


class Endpoint(asyncio.Protocol):
    """Answers each request at once; counts them."""

    count = 0

    def __init__(self) -> None:
        self._data = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the connection."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer the request when it is whole."""
        self._data += data
        end = self._data.find(b"\r\n\r\n")
        if end < 0 or len(self._data) < end + 4 + int(LENGTH.search(self._data, 0, end)[1]):
            return
        self._data.clear()
        Endpoint.count += 1
        text = f"{Endpoint.count} ".ljust(ANSWER_CHARACTERS, "x")
        message = {"role": "assistant", "content": json.dumps({"text": text})}
        usage = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        body = {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice], "usage": usage}
        content = json.dumps(body).encode()
        self._transport.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
            % (len(content), content)
        )


def serve(pipe: Connection) -> None:
    """The endpoint's process: says its port, then the number of requests each time it is asked."""

    async def work() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Endpoint, "127.0.0.1", 0)
        pipe.send(server.sockets[0].getsockname()[1])
        loop.add_reader(pipe.fileno(), lambda: pipe.send(Endpoint.count) if pipe.recv() else loop.stop())
        await server.serve_forever()

    try:
        asyncio.run(work())
    except RuntimeError:
        # The loop was stopped, as it was told to be.
        pipe.close()


def question(number: int, step: int, before: str) -> Request[Told]:
    """One question about a video; frames are its own bytes."""
    draw = random.Random(number)
    frames = [Frame(draw.randbytes(FRAME_BYTES)) for _ in range(FRAMES)] if step in VISION_STEPS else []
    return Request(
        step=f"step {step}",
        system=f"Step {step}. " + "Say what happens next, and why, in full sentences. " * 20,
        content=(f"Video {number}. {before}", *frames),
        answer=Told,
        max_tokens=500,
    )


def run(port: int, videos: int, cache: Path, pipe: Connection) -> None:
    """One pass, in a process of its own; sends wall and CPU seconds, seconds of opening, memory."""
    endpoint = AskedEndpoint(url=f"http://127.0.0.1:{port}/v1", model="m", key_from="ASK_SCALE_KEY", concurrent=AT_ONCE)
    process, rss = psutil.Process(), []

    async def one(number: int) -> None:
        before = ""
        for step in range(STEPS):
            before = (await asker.ask(question(number, step, before))).text
        if (number + 1) % (videos // 10) == 0:
            rss.append(round(process.memory_info().rss / 2**20, 1))

    began = time.perf_counter()
    for folder in cache.glob("ask/*"):
        Answers(folder).close()
    open_s = time.perf_counter() - began

    async def work() -> None:
        nonlocal asker
        async with Asker(endpoint, cache) as asker:
            await for_each(range(videos), one, AT_ONCE)

    asker: Any = None
    began, cpu = time.perf_counter(), time.process_time()
    asyncio.run(work())
    pipe.send((time.perf_counter() - began, time.process_time() - cpu, open_s, rss))


def measured(port: int, server: Connection, videos: int, cache: Path) -> Pass:
    """A pass and the requests that came meanwhile."""
    server.send(True)
    before = server.recv()
    receiver, sender = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.Process(target=run, args=(port, videos, cache, sender))
    process.start()
    wall_s, cpu_s, open_s, rss = receiver.recv()
    process.join()
    server.send(True)
    return Pass(videos, server.recv() - before, round(wall_s, 2), round(cpu_s, 2), round(open_s, 3), rss)


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, default=VIDEOS)
    videos = parser.parse_args().videos
    multiprocessing.set_start_method("spawn")
    os.environ["ASK_SCALE_KEY"] = "none"
    cache = WORK / "ask_scale"
    shutil.rmtree(cache, ignore_errors=True)
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.Process(target=serve, args=(theirs,))
    server.start()
    port = ours.recv()
    more = videos + videos // 100
    passes = {
        name: measured(port, ours, count, cache)
        for name, count in (("all new", videos), ("nothing new", videos), ("1 % new", more))
    }
    ours.send(False)
    server.join()
    first, again, few = passes.values()
    files = [file for file in cache.rglob("*") if file.is_file()]
    figures = {
        "requests a CPU second": round(first.requests / first.cpu_s, 1),
        "memory growth, MiB": round(first.rss_mib[-1] - first.rss_mib[0], 1),
        "re-run, CPU ms a video": round(again.cpu_s / videos * 1000, 2),
    }
    assert (first.requests, again.requests, few.requests) == (STEPS * videos, 0, STEPS * (more - videos))
    write_result(
        "ask_scale",
        {
            "questions": {"a video": STEPS, "with frames": len(VISION_STEPS), "frames": FRAMES, "bytes": FRAME_BYTES},
            "at once": AT_ONCE,
            "passes": {name: asdict(value) for name, value in passes.items()},
            "figures": figures,
            "limits": LIMITS,
            "files": {"number": len(files), "MiB": round(sum(file.stat().st_size for file in files) / 2**20, 1)},
        },
    )
    print(json.dumps({name: asdict(value) for name, value in passes.items()} | figures, indent=1))


if __name__ == "__main__":
    main()
