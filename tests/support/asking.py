"""Questions to the scripted annotator, and endpoints that ask it."""

import io
from functools import cache
from typing import Any

import numpy as np
from PIL import Image
from support.annotator import Annotator

from nep.ask.request import Answer, Frame, Request
from nep.ask.sender import Patience
from nep.config.asked_endpoint import AskedEndpoint
from nep.demo.world import Scenario, frame_at

KEY = "sk-secret-of-this-test"
# Tests do not wait as long as an endpoint wants.
IMPATIENT = Patience(first_s=0.01, longest_s=0.05)
JPEG_QUALITY = 90


class SeenLamps(Answer):
    """What the scripted annotator answers of itself: the lamps that light up, in order."""

    colours: list[str]


def world(number: int) -> Scenario:
    """A small world; each number has its own."""
    colours = ("red", "green", "blue", "yellow")
    background = (10 + number % 30, 10 + number // 30 % 30, 20)
    return Scenario(colours, number % 4, 1, 4, 0.5, 0.1, background)


@cache
def jpeg(scene: Scenario, seconds: float, size: int = 64) -> Frame:
    """A frame of a world."""
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(frame_at(scene, seconds, size))).save(stream, "JPEG", quality=JPEG_QUALITY)
    return Frame(stream.getvalue())


def question(number: int, **changes: Any) -> Request[SeenLamps]:
    """A question about the first four lamps of a world."""
    scene = world(number)
    content: list[str | Frame] = ["Which lamps light up?"]
    for step in range(4):
        content += [f"{scene.event_time(step):.2f} s:", jpeg(scene, scene.event_time(step))]
    values = {"step": "lamps", "system": "You watch.", "content": tuple(content), "max_tokens": 100, **changes}
    return Request(answer=SeenLamps, **values)


def endpoint(annotator: Annotator, **changes: Any) -> AskedEndpoint:
    """The annotator as the configuration names it."""
    return AskedEndpoint(**{"url": annotator.url, "model": "scripted", "key_from": "TEST_KEY", **changes})
