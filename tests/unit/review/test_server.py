"""The review server: who may ask, what is served, what writes."""

import http.client
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import pytest
from support.entry_points import ROOT
from support.html_page import Page, runs_one_known_script
from support.own_benchmark_run import CUT_S, MARKUP, own_question, write_reviewed_run

from nep.own_benchmark.decisions import read_decisions
from nep.review.parts import Parts
from nep.review.server import MOST_BYTES, Review, review_server
from nep.review.session import Session

QUESTIONS = [own_question(1), own_question(2, question=f"What next? {MARKUP}"), own_question(3, video_path="lost.mp4")]


@dataclass
class Client:
    """Asks the server as a browser would."""

    port: int
    review: Review

    def ask(
        self, path: str, method: str = "GET", body: bytes | None = None, **headers: str
    ) -> tuple[http.client.HTTPResponse, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        return response, response.read()

    def below(self, path: str, **more: str) -> tuple[http.client.HTTPResponse, bytes]:
        return self.ask(f"/{self.review.token}/{path}", **more)

    def decide(self, body: bytes, **headers: str) -> tuple[int, dict[str, str] | str]:
        own = {"Content_Type": "application/json", "X_Page_Token": self.review.token}
        response, said = self.ask(f"/{self.review.token}/decision", "POST", body, **{**own, **headers})
        is_json = response.getheader("Content-Type") == "application/json"
        return response.status, json.loads(said) if is_json else said.decode()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = write_reviewed_run(tmp_path_factory.mktemp("run"), QUESTIONS)
    (root / "download" / "videos" / "lost.mp4").write_bytes(b"no film")
    return root


@pytest.fixture
def client(run: Path, tmp_path: Path) -> Iterator[Client]:
    review = Review(
        Session(QUESTIONS, "anna", tmp_path / "anna.jsonl"),
        Parts(run / "download" / "videos", run / "work" / "review"),
        "mine",
    )
    with review_server(review) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield Client(server.server_port, review)
        server.shutdown()


def body(place: int) -> bytes:
    question = QUESTIONS[place]
    return json.dumps({"id": question.id, "of": question.text.digest, "verdict": "accept", "edited": None}).encode()


def test_the_first_open_question_is_where_it_begins(client: Client) -> None:
    response, _ = client.below("")
    assert (response.status, response.getheader("Location")) == (302, f"/{client.review.token}/q/1")
    assert client.decide(body(0)) == (200, {"next": "2"})
    assert client.below("")[0].getheader("Location") == f"/{client.review.token}/q/2"


@pytest.mark.parametrize("path", ["/", "/q/1", "/wrong/q/1", "/wrong", "//q/1"])
def test_without_the_token_nothing_is_served(client: Client, path: str) -> None:
    response, said = client.ask(path)
    assert response.status == 403
    assert client.review.token not in said.decode()


@pytest.mark.parametrize(
    "path", ["q/0", "q/4", "q/1/", "q/../q/1", "part/1/third.mp4", "part/1/../../x", "part/9/first.mp4", "etc/passwd"]
)
def test_other_addresses_are_none(client: Client, path: str) -> None:
    assert client.below(path)[0].status == 404


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example:1", ""])
def test_another_name_of_this_machine_is_refused(client: Client, host: str) -> None:
    assert client.ask(f"/{client.review.token}/q/1", Host=host)[0].status == 403
    assert client.decide(body(0), Host=host)[0] == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"X_Page_Token": ""},
        {"X_Page_Token": "wrong"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Content_Type": "text/plain"},
        {"Content_Type": "application/x-www-form-urlencoded"},
    ],
)
def test_no_other_page_can_write_a_decision(client: Client, headers: dict[str, str]) -> None:
    assert client.decide(body(0), **headers)[0] == 403
    assert not client.review.session.file.exists()


def test_the_page_itself_can(client: Client) -> None:
    assert client.decide(body(1), Origin=f"http://127.0.0.1:{client.port}") == (200, {"next": "3"})
    assert list(read_decisions([client.review.session.file])["anna"]) == [QUESTIONS[1].id]


def test_what_is_refused_says_why(client: Client) -> None:
    assert client.decide(b"[]") == (400, {"error": "Input should be an object"})
    status, said = client.decide(body(0), Content_Length=str(MOST_BYTES + 1))
    assert (status, said["error"]) == (413, f"at most {MOST_BYTES} bytes are taken")
    assert client.ask(f"/{client.review.token}/other", "POST", b"", X_Page_Token=client.review.token)[0].status == 403


def test_texts_of_models_are_texts_and_no_other_script_runs(client: Client) -> None:
    response, page = client.below("q/2")
    html = page.decode()
    policy = response.getheader("Content-Security-Policy")
    assert f"What next? {MARKUP}" in Page(html).text
    assert "<b>bold" not in html
    assert "default-src 'none'" in policy and "unsafe-inline'; script-src 'sha256-" in policy
    assert runs_one_known_script(f"{policy}{html}")
    assert Page(html).handlers == []
    assert set(Page(html).references) == {"../part/2/first.mp4"}
    assert response.getheader("Referrer-Policy") == "no-referrer"
    assert response.getheader("X-Content-Type-Options") == "nosniff"


def test_a_part_holds_its_frames_and_no_others(client: Client, tmp_path: Path) -> None:
    for part, frames in (("first", 12), ("second", 8)):
        response, film = client.below(f"part/1/{part}.mp4")
        assert (response.status, response.getheader("Content-Type")) == (200, "video/mp4")
        (tmp_path / "part.mp4").write_bytes(film)
        with av.open(str(tmp_path / "part.mp4")) as container:
            assert sum(1 for _ in container.decode(video=0)) == frames
    assert CUT_S * 12 == 12


def test_a_browser_may_ask_for_a_range(client: Client) -> None:
    whole = client.below("part/1/first.mp4")[1]
    response, found = client.below("part/1/first.mp4", Range="bytes=10-19")
    assert (response.status, response.getheader("Content-Range")) == (206, f"bytes 10-19/{len(whole)}")
    assert found == whole[10:20]
    assert client.below("part/1/first.mp4", Range="bytes=10-")[1] == whole[10:]
    assert client.below("part/1/first.mp4", Range=f"bytes={len(whole)}-")[0].status == 416


def test_a_video_that_cannot_be_cut_is_said_to_be_one(client: Client) -> None:
    response, said = client.below("part/3/first.mp4")
    assert response.status == 404
    assert said.startswith(b"undecodable_video")
    assert client.below("q/3")[0].status == 200


def test_the_command_names_what_is_wrong(tmp_path: Path) -> None:
    command = [sys.executable, ROOT / "scripts/review_questions.py", "--run", "mine", "--reviewer"]
    for reviewer, fault in (("../anna", "a name is letters"), ("anna", "to_review.jsonl: no such file")):
        done = subprocess.run([*command, reviewer], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert fault in done.stderr
