"""The demo's small world: a ball runs round a ring of four coloured lamps; a lamp lights up when the ball reaches it.

Which lamp is next depends on where the ball is, which way it runs and how the colours are placed. The first two cannot
be read from one frame, and the frames without their order fit every answer.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (235, 50, 50),
    "green": (40, 200, 70),
    "blue": (50, 90, 245),
    "yellow": (245, 215, 40),
    "purple": (170, 60, 220),
    "orange": (250, 140, 30),
    "cyan": (40, 215, 225),
    "pink": (250, 130, 190),
}
LAMPS = 4
JOINER = "; then "
EVENTS_AFTER = 3
LIT_FRACTION = 0.34
SUPERSAMPLING = 2
DIRECTIONS = {1: "clockwise", -1: "counterclockwise"}


@dataclass(frozen=True)
class Scenario:
    """One video's world. Time runs in steps: at step k (k = 0, 1, …) the ball is at a lamp, which is then lit."""

    colours: tuple[str, ...]
    start: int
    direction: int
    events_before: int
    step_s: float
    split_phase: float
    background: tuple[int, int, int]

    @property
    def events(self) -> list[str]:
        """Colour of the lamp that lights up at each step, both parts of the video."""
        steps = range(self.events_before + EVENTS_AFTER)
        return [self.colours[(self.start + self.direction * step) % LAMPS] for step in steps]

    @property
    def before(self) -> list[str]:
        """Colours of the lamps that light up in the first part."""
        return self.events[: self.events_before]

    @property
    def after(self) -> list[str]:
        """Colours of the lamps that light up in the second part."""
        return self.events[self.events_before :]

    @property
    def split_time(self) -> float:
        """Seconds from the first frame to the cut: just after the last lamp of the first part."""
        return (self.events_before - 1 + 0.5 + self.split_phase) * self.step_s

    @property
    def duration(self) -> float:
        """Seconds: half a step before the first lamp and half a step after the last one belong to the video."""
        return len(self.events) * self.step_s

    def event_time(self, step: int) -> float:
        """Seconds from the first frame to the moment at which the ball is at the lamp of `step`."""
        return (step + 0.5) * self.step_s


def draw_scenario(rng: random.Random) -> Scenario:
    """A random world. The first part shows every lamp, so that no colour is given away by its absence."""
    return Scenario(
        colours=tuple(rng.sample(sorted(COLOURS), LAMPS)),
        start=rng.randrange(LAMPS),
        direction=rng.choice(sorted(DIRECTIONS)),
        events_before=rng.choice((LAMPS, LAMPS + 1, LAMPS + 2)),
        step_s=rng.uniform(0.45, 0.8),
        split_phase=rng.uniform(0.05, 0.3),
        background=tuple(rng.randrange(14, 40) for _ in range(3)),
    )


def tell(colours: Sequence[str]) -> str:
    """Events in their order, each told by its lamp's colour; a capital marks the first one, no full stop ends it."""
    return JOINER.join(colours).capitalize()


def frame_at(scenario: Scenario, seconds: float, size: int) -> np.ndarray:
    """The world at a moment: uint8 (size, size, 3), RGB."""
    canvas = size * SUPERSAMPLING
    image = Image.new("RGB", (canvas, canvas), scenario.background)
    draw = ImageDraw.Draw(image)
    radius = canvas / 3
    _circle(draw, canvas / 2, canvas / 2, radius, outline=(90, 96, 110), width=max(1, canvas // 56))
    progress = seconds / scenario.step_s - 0.5
    nearest = round(progress)
    lit = abs(progress - nearest) < LIT_FRACTION and 0 <= nearest < len(scenario.events)
    for place, colour in enumerate(scenario.colours):
        is_lit = lit and place == (scenario.start + scenario.direction * nearest) % LAMPS
        _draw_lamp(draw, canvas, radius, place, COLOURS[colour], is_lit)
    x, y = _on_ring(canvas, radius, scenario.start + scenario.direction * progress)
    _circle(draw, x, y, canvas / 22, fill=(245, 245, 245))
    return np.array(image.resize((size, size), Image.Resampling.BOX))


def _draw_lamp(draw: ImageDraw.ImageDraw, canvas: int, radius: float, place: int, rgb: tuple, is_lit: bool) -> None:
    x, y = _on_ring(canvas, radius, place)
    if is_lit:
        _circle(draw, x, y, canvas / 6.2, fill=tuple(int(0.45 * value) for value in rgb))
        _circle(draw, x, y, canvas / 8.5, fill=rgb)
    else:
        _circle(draw, x, y, canvas / 13, fill=tuple(int(0.5 * value) for value in rgb))


def _on_ring(canvas: int, radius: float, place: float) -> tuple[float, float]:
    angle = 2 * math.pi * place / LAMPS - math.pi / 2
    return canvas / 2 + radius * math.cos(angle), canvas / 2 + radius * math.sin(angle)


def _circle(draw: ImageDraw.ImageDraw, x: float, y: float, radius: float, **style: object) -> None:
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), **style)
