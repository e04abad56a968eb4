"""The page's server: who may ask, what models answer, what is refused."""

import http.client
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from support.app_run import CUT_S, MODELS, TOKENS, app_of, app_served, events_in, write_app_run
from support.html_page import Page, runs_one_known_script

from nep.app.server import App, Asked, app_server
from nep.app.videos import MOST_BYTES
from nep.errors import InputError
from nep.predict import first_part
from nep.predict.ask import Ask

PATHS = ["base", "nep/sft", "nep/grpo"]


@dataclass
class Client:
    """Asks the server as a browser would."""

    port: int
    app: App

    def ask(self, path: str, body: bytes | None = None, **headers: str) -> tuple[http.client.HTTPResponse, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request("GET" if body is None else "POST", path, body, named)
        response = connection.getresponse()
        return response, response.read()

    def get(self, path: str) -> tuple[int, Any]:
        response, said = self.ask(f"/{self.app.token}/{path}")
        return response.status, json.loads(said)

    def post(self, path: str, body: bytes, **headers: str) -> tuple[http.client.HTTPResponse, bytes]:
        own = {"Content_Type": "application/json", "X_Page_Token": self.app.token}
        return self.ask(f"/{self.app.token}/{path}", body, **{**own, **headers})

    def question(self, **changes: Any) -> dict[str, Any]:
        video, example = self.app.examples[0]
        asked = {
            "video": video.key,
            "at": CUT_S,
            "question": example.question.question,
            "options": list(example.question.options.values()),
            "variant": "reason",
            "temperature": 0,
            "samples": 1,
            "models": PATHS,
        }
        return {**asked, **changes}

    def predict(self, **changes: Any) -> list[dict[str, Any]]:
        response, said = self.post("predict", json.dumps(self.question(**changes)).encode())
        assert response.status == 200, said
        return events_in(said)

    def refused(self, **changes: Any) -> str:
        response, said = self.post("predict", json.dumps(self.question(**changes)).encode())
        assert response.status == 400
        return json.loads(said)["error"]


@pytest.fixture(scope="module")
def client(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    run = write_app_run(tmp_path_factory.mktemp("runs") / "mine", tiny_checkpoint)
    app = app_of(run, tmp_path_factory.mktemp("work"))
    with app_served(app) as port:
        yield Client(port, app)


def test_models_answer_one_after_the_other_as_predict_does(client: Client) -> None:
    events = client.predict(samples=2)
    ends = [event for event in events if "seconds" in event]
    assert [(end["model"], end["sample"]) for end in ends] == [(path, sample) for path in PATHS for sample in (0, 1)]
    for path in PATHS:
        written = [event for event in events if event["model"] == path and event["sample"] == 0]
        assert "state" in written[0] and len(written) > 3
    ask = replace(client.app.ask(_asked(client)), max_new_tokens=TOKENS["reason"])
    predictor = client.app.models._reading["base"].result().predictor
    assert {end["completion"] for end in ends} == {"".join(predictor.stream(ask))}
    assert all(1 <= end["tokens"] <= TOKENS["reason"] for end in ends)


def test_all_models_and_samples_share_one_reading_of_the_video(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    read = []
    decode = first_part.decode_clip
    monkeypatch.setattr(first_part, "decode_clip", lambda *task: read.append(task) or decode(*task))
    for at in (1.5, 1.75):
        client.get(f"video/{client.app.examples[0][0].key}/seen?at={at}")
        client.predict(at=at, samples=2)
    assert len(read) == 2


def test_samples_at_a_temperature_differ(client: Client) -> None:
    ends = [event for event in client.predict(samples=3, temperature=2, models=["base"]) if "seconds" in event]
    assert len({end["completion"] for end in ends}) == 3


def test_one_who_leaves_stops_the_model_and_the_next_one_is_answered(client: Client) -> None:
    answers = client.app.models.answers(client.app.ask(_asked(client)), PATHS, 1)
    assert next(answers)["model"] == "base"
    next(answers)
    answers.close()
    assert not client.app.models._asked.locked()
    assert client.predict(models=["nep/grpo"])[-1]["tokens"]


def test_what_models_see_ends_before_the_cut(client: Client) -> None:
    video, _ = client.app.examples[0]
    status, seen = client.get(f"video/{video.key}/seen?at={CUT_S}")
    clip = client.app.models.clip(Ask(video.file, CUT_S))
    assert status == 200
    assert [frame["seconds"] for frame in seen["frames"]] == list(clip.pts)
    assert (seen["height"], seen["width"]) == clip.frames.shape[1:3]
    assert max(clip.pts) < CUT_S < video.facts().duration
    status, said = client.get(f"video/{video.key}/seen?at=900")
    assert (status, "split at 900 s" in said["error"], str(video.file) in said["error"]) == (400, True, False)


def test_an_upload_is_asked_about_and_its_name_stands_in_messages(client: Client) -> None:
    film = client.app.examples[0][0].file.read_bytes()
    response, said = client.post("upload?name=my%20cat.mp4", film, Content_Type="application/octet-stream")
    facts = json.loads(said)
    assert (response.status, facts["name"]) == (200, "my cat.mp4")
    assert client.predict(video=facts["key"], question="", models=["base"])[-1]["completion"]
    (problem,) = [event["error"] for event in client.predict(video=facts["key"], at=900) if "error" in event]
    assert problem.startswith("my cat.mp4: ") and "split at 900 s" in problem
    response, said = client.post("upload?name=x", b"no film", Content_Type="application/octet-stream")
    assert (response.status, json.loads(said)["error"][:3]) == (400, "x: ")
    response, said = client.post(
        "upload?name=x", b"", Content_Type="application/octet-stream", Content_Length=str(MOST_BYTES + 1)
    )
    assert response.status == 413


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"models": ["other"]}, "no model 'other'"),
        ({"models": []}, "models"),
        ({"video": "0" * 16}, "this video is gone"),
        ({"video": "../../etc"}, "this video is gone"),
        ({"at": 0}, "moment 0 s"),
        ({"options": ["one"]}, "1 options"),
        ({"temperature": 9}, "temperature"),
        ({"samples": 1000}, "samples"),
        ({"more": 1}, "more"),
    ],
)
def test_a_question_that_cannot_be_asked_says_why(client: Client, changes: dict[str, Any], said: str) -> None:
    assert said in client.refused(**changes)


@pytest.mark.parametrize("path", ["/", "/start", "/wrong/start", "/models"])
def test_without_the_token_nothing_is_served(client: Client, path: str) -> None:
    response, said = client.ask(path)
    assert response.status == 403
    assert client.app.token not in said.decode()


@pytest.mark.parametrize(
    "path", ["video/../start", "video/0123456789abcdef/file", "video/x/file", "etc/passwd", "video//strip"]
)
def test_other_addresses_are_none(client: Client, path: str) -> None:
    assert client.ask(f"/{client.app.token}/{path}")[0].status == 404


@pytest.mark.parametrize(
    "headers", [{"X_Page_Token": "wrong"}, {"Origin": "http://evil.example"}, {"Content_Type": "text/plain"}]
)
@pytest.mark.parametrize("path", ["predict", "upload?name=x"])
def test_no_other_page_can_ask_or_send(client: Client, path: str, headers: dict[str, str]) -> None:
    assert client.post(path, b"{}", **headers)[0].status == 403


def test_another_name_of_this_machine_is_refused(client: Client) -> None:
    assert client.ask(f"/{client.app.token}/start", Host="evil.example:1")[0].status == 403


def test_the_page_runs_one_script_and_loads_nothing(client: Client) -> None:
    response, page = client.ask(f"/{client.app.token}/")
    html, policy = page.decode(), response.getheader("Content-Security-Policy")
    assert runs_one_known_script(f"{policy}{html}")
    assert "default-src 'none'" in policy and "img-src data:;" in policy and "frame-ancestors 'none'" in policy
    assert (Page(html).references, Page(html).handlers) == ([], [])


def test_a_public_page_is_for_all_who_come(client: Client, tmp_path: Path) -> None:
    app = app_of(client.app.models.listed.run, tmp_path, is_public=True)
    with app_served(app) as port:
        public = Client(port, app)
        response, _ = public.ask("/", Host="models.example")
        assert (response.status, response.getheader("Location")) == (302, f"/{app.token}/")
        response, _ = public.ask(f"/{app.token}/", Host="models.example")
        assert "frame-ancestors *" in response.getheader("Content-Security-Policy")
        status, models = public.get("models")
        assert (status, [model["path"] for model in models]) == (200, PATHS)
        assert len(MODELS) == len(PATHS)


def test_a_port_in_use_is_told(client: Client) -> None:
    with pytest.raises(InputError, match=rf"^127\.0\.0\.1, port {client.port}: Address already in use; name another"):
        app_server(client.app, port=client.port)


def _asked(client: Client) -> Asked:
    return Asked.model_validate(client.question())
