"""From `make app` to the first token, with the demo's models.

    PYTHONPATH=scripts .venv/bin/python benchmarks/app_start.py [--run demo] [--rounds 5]

Each round is a new `make app`; files are in the page cache from the second one on, and the first is not counted. All
models are asked the first example as soon as the page answers, while they are still being read. Measured, in seconds
from the call of `make`: the address is printed; the page, its examples, and the strip of the first one's frames are
there; the frames that models see; the first token; the last token of the last model. A second question to the same
server says what an answer takes when all is ready. Then the command line (`scripts/predict.py`) is asked the same: its
answers must be those of the page. Writes `benchmarks/results/app_start.json`.
"""

import argparse
import http.client
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil

from measure import ROOT, write_result

LIMIT_S = 600


class Page:
    """A page that `make app` has started, asked as a browser asks it; times count from the call of `make`."""

    def __init__(self, run: str, begun: float, address: str) -> None:
        self._begun = begun
        self._place = urlsplit(address)
        self.token = self._place.path.strip("/")

    def since(self) -> float:
        """Seconds until now."""
        return round(time.monotonic() - self._begun, 3)

    def get(self, path: str) -> Any:
        """What a path below the token holds: JSON, or the page itself."""
        response = self._ask("GET", path, None)
        body = response.read()
        return json.loads(body) if response.getheader("Content-Type") == "application/json" else body.decode()

    def predict(self, question: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Events of an answer."""
        response = self._ask("POST", "predict", json.dumps(question).encode())
        for line in response:
            yield json.loads(line)

    def _ask(self, method: str, path: str, body: bytes | None) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection(self._place.netloc, timeout=LIMIT_S)
        headers = {"Content-Type": "application/json", "X-Page-Token": self.token}
        connection.request(method, f"/{self.token}/{path}", body, headers)
        response = connection.getresponse()
        if response.status != http.client.OK:
            raise RuntimeError(f"{path}: status {response.status}: {response.read().decode()}")
        return response


@contextmanager
def started(run: str) -> Iterator[tuple[Page, psutil.Process]]:
    """A page from `make app`, and the process of its server."""
    begun = time.monotonic()
    command = ["make", "--no-print-directory", "app", f"RUN={run}"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True) as make:
        try:
            address = next(found[1] for line in make.stdout if (found := re.search(r"page: (http\S+)", line)))
            (server,) = psutil.Process(make.pid).children(recursive=True)[-1:]
            yield Page(run, begun, address), server
        finally:
            os.killpg(make.pid, signal.SIGINT)


def question_of(example: dict[str, Any], models: list[str]) -> dict[str, Any]:
    """What the page sends for an example."""
    return {
        "video": example["video"],
        "at": example["cut"],
        "question": example["question"],
        "options": list(example["options"].values()),
        "variant": "reason",
        "temperature": 0,
        "samples": 1,
        "models": models,
    }


def one_round(run: str) -> tuple[dict[str, float], dict[str, str], dict[str, Any]]:
    """Times of one start, the answers by model, and the example that was asked about."""
    with started(run) as (page, server):
        times = {"address": page.since()}
        page.get("")
        (example, *_) = page.get("start")["examples"]
        models = [model["path"] for model in page.get("models")]
        page.get(f"video/{example['video']}/strip")
        times["page with its frames"] = page.since()
        page.get(f"video/{example['video']}/seen?at={example['cut']}")
        times["what models see"] = page.since()
        question = question_of(example, models)
        for event in page.predict(question):
            if event.get("reasoning") or event.get("prediction"):
                times.setdefault("first token", page.since())
        times["last token of the last model"] = page.since()
        asked = page.since()
        for event in (answered := list(page.predict(question))):
            if "error" in event:
                raise RuntimeError(event["error"])
        times["all models again, when read"] = round(page.since() - asked, 3)
        spent = server.cpu_times()
        times["CPU seconds"] = round(spent.user + spent.system, 2)
        times["memory, MB"] = round(server.memory_info().rss / 1e6)
    return times, {event["model"]: event["completion"] for event in answered if "seconds" in event}, example


def told_by_command(run: str, model: str, example: dict[str, Any], video: Path) -> str:
    """The answer of `scripts/predict.py` to the same question."""
    command = [sys.executable, "scripts/predict.py", str(video), "--run", run, "--model", model, "--json"]
    command += ["--at", str(example["cut"]), "--question", example["question"]]
    for option in example["options"].values():
        command += ["--option", option]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)["completion"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", default="demo")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    rounds = []
    for number in range(options.rounds + 1):
        times, answers, example = one_round(options.run)
        print(number, times, answers, flush=True)
        rounds.append(times)
    counted = rounds[1:]
    video = example_video(options.run)
    told = {model: told_by_command(options.run, model, example, video) for model in answers}
    if told != answers:
        raise RuntimeError(f"the page says {answers}, the command line {told}")
    result = {
        "rounds": counted,
        "medians": {name: statistics.median(times[name] for times in counted) for name in counted[0]},
        "models": list(answers),
        "answers are those of the command line": True,
    }
    print(write_result("app_start", result))


def example_video(run: str) -> Path:
    """The video of the first example."""
    from nep.app.examples import VIDEOS, examples_of

    root = ROOT / "results" / run
    (example,) = examples_of(root, 1)
    return root / VIDEOS / example.video


if __name__ == "__main__":
    main()
