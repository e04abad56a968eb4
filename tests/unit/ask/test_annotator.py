"""The scripted annotator sees what the demo's frames show, and errs as often as it is told to."""

import random

import pytest
from support.annotator import Noise, Seen, decode, lamps, lit_colour
from support.asking import SeenLamps, jpeg

from nep.ask.body import body_of
from nep.ask.request import Request
from nep.config.asked_endpoint import AskedEndpoint
from nep.demo.world import draw_scenario

ENDPOINT = AskedEndpoint(url="http://localhost/v1", model="scripted")


@pytest.mark.parametrize("size", [64, 112])
def test_it_reads_every_lamp_of_random_worlds(size: int) -> None:
    rng = random.Random(size)
    for _ in range(6):
        scene = draw_scenario(rng)
        for step, colour in enumerate(scene.events):
            frame = decode(jpeg(scene, scene.event_time(step), size).data_url)
            assert lit_colour(frame) == colour
            assert [lamp.colour for lamp in lamps(frame)] == list(scene.colours)
        between = decode(jpeg(scene, scene.step_s, size).data_url)
        assert lit_colour(between) is None


def seen(noise: Noise) -> Seen:
    scene = draw_scenario(random.Random(1))
    times = [number * scene.step_s / 5 for number in range(int(5 * scene.duration / scene.step_s))]
    content = tuple(part for time in times for part in (f"at {time:.3f} s", jpeg(scene, time)))
    request = Request(step="s", system="", content=content, answer=SeenLamps, max_tokens=9)
    return Seen(body_of(ENDPOINT, request), noise)


def test_events_have_the_times_that_the_texts_name() -> None:
    scene = draw_scenario(random.Random(1))
    events = seen(Noise()).events
    assert [event.colour for event in events] == scene.events
    for step, event in enumerate(events):
        assert event.start <= scene.event_time(step) + 0.2 * scene.step_s
        assert event.end >= scene.event_time(step) - 0.2 * scene.step_s
        assert event.end - event.start < scene.step_s


def test_noise_changes_colours_and_times_and_is_the_same_every_time() -> None:
    true, noisy = seen(Noise()).events, seen(Noise(wrong_events=0.5, wrong_times=0.5, off_s=0.7)).events
    assert noisy == seen(Noise(wrong_events=0.5, wrong_times=0.5, off_s=0.7)).events
    wrong = sum(a.colour != b.colour for a, b in zip(true, noisy, strict=True))
    late = sum(a.start != b.start for a, b in zip(true, noisy, strict=True))
    assert 0 < wrong < len(true) and 0 < late < len(true)
