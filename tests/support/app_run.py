"""A small run whose models are asked on the page, and its server."""

import json
import random
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import wait
from contextlib import contextmanager
from pathlib import Path

from support.entry_points import ROOT
from support.own_benchmark_run import MARKUP
from support.rows import OPTIONS, asked, record

from nep.app.examples import QUESTIONS, RECORDS, VIDEOS, examples_of
from nep.app.models import Models
from nep.app.server import App, app_server
from nep.app.videos import Videos
from nep.config.demo_videos import DemoVideos
from nep.config.vision import Vision
from nep.demo.hub_layout import DemoVideo, encode_video
from nep.demo.world import draw_scenario
from nep.files import write_json
from nep.layout.models import model_folder, model_manifest
from nep.predict.run_models import models_of_run
from nep.rows.base import write_rows

MODELS = ("base", "nep-sft", "nep-grpo")
VISION = Vision(frames=4, min_pixels=784, max_pixels=3136)
TOKENS = {"direct": 4, "reason": 6}
KINDS = ("hop1", "hop2", "hop3")
CUT_S = 2.125


def write_app_run(root: Path, checkpoint: Path) -> Path:
    """A finished run: models with the weights of `checkpoint`, and three questions, the last one with markup in it."""
    for name in MODELS:
        shutil.copytree(checkpoint, root / model_folder(name))
        write_json(root / model_manifest(name), {})
        scores = {"vision": VISION.model_dump(mode="json"), "settings": {"max_new_tokens": TOKENS}}
        write_json(root / "evaluate" / name / "scores.json", scores)
    spec = DemoVideos(train=1, test=1, size=112)
    (root / VIDEOS).mkdir(parents=True)
    for number in range(len(KINDS)):
        made = DemoVideo(number, draw_scenario(random.Random(f"app/{number}")))
        (root / VIDEOS / f"clip{number}.mp4").write_bytes(encode_video(made, spec))
    told = ["The red lamp lights up."] * 2 + [MARKUP]
    write_rows(
        root / RECORDS,
        [
            record(f"v{number}", f"clip{number}.mp4", split_time=CUT_S, caption_part2=text)
            for number, text in enumerate(told)
        ],
    )
    changes = [{}, {}, {"question": f"What next? {MARKUP}", "options": {**OPTIONS, "B": MARKUP}}]
    write_rows(
        root / QUESTIONS,
        [asked(f"q{place}", video_id=f"v{place}", kind=KINDS[place], **more) for place, more in enumerate(changes)],
    )
    return root


def app_of(run: Path, work: Path, is_public: bool = False) -> App:
    """The page of a run with all its examples; uploads and parts lie in `work`. Its models are not being read yet."""
    videos = Videos(work / "uploads")
    examples = tuple((videos.add(run / VIDEOS / one.video, ""), one) for one in examples_of(run, 9))
    models = Models(models_of_run(run), ROOT / "config/prompts.yaml", work / "parts")
    return App(run.name, models, videos, examples, is_public)


@contextmanager
def app_served(app: App) -> Iterator[int]:
    """Its server, while its models are read; gives the port."""
    with app_server(app) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        app.models.start()
        yield server.server_port
        server.shutdown()
    # Loading changes classes of transformers, which the next test may load by itself.
    wait(app.models._reading.values())


def events_in(lines: bytes) -> list[dict]:
    """What a stream of JSON lines holds."""
    return [json.loads(line) for line in lines.splitlines()]
