"""What one video takes of the models that are asked about it, by assumptions on the lengths of texts."""

from collections.abc import Sequence
from dataclasses import dataclass

from nep.annotate.steps import PLACE_CUT, VERIFY, steps_of
from nep.config.annotate import Annotate
from nep.config.asked_endpoint import AskedEndpoint
from nep.config.own_benchmark import OwnBenchmark

# Of one request: the prompt, the schema and what earlier steps found; the answer.
TEXT_TOKENS, ANSWER_TOKENS = 800, 250
# Of a frame of 16:9, a token for each 28 x 28 pixels as Qwen2.5-VL has it; other models differ.
TOKEN_SIDE, ASPECT = 28, 9 / 16
MILLION = 1_000_000


@dataclass(frozen=True)
class Asking:
    """Of one video: requests, tokens, money, and how often its frames are read."""

    requests: int
    prompt_tokens: float
    completion_tokens: float
    money: float
    readings: int


# One way of asking: the endpoint, requests, frames that each shows.
Part = tuple[AskedEndpoint, int, int]


def asking_of(annotate: Annotate) -> Asking:
    """What the steps of a configuration take, where no video is left out on the way."""
    steps = steps_of(annotate)
    parts = [(annotate.vision, 1, annotate.frames) if step.sees else (annotate.text_endpoint, 1, 0) for step in steps]
    # The whole video's frames are read once for all steps, those of its two parts once each.
    readings = sum(2 if step is VERIFY else 1 for step in steps if step.sees and step is not PLACE_CUT)
    return _sum(parts, annotate.size, readings)


def asking_of_questions(how: OwnBenchmark) -> Asking:
    """What the questions on one video take, where each passes at once; `how` names both endpoints."""
    of_text = len(how.kinds) * (2 + how.tries)
    ways = len(how.kinds) * how.tries
    # What one model says without the video is asked once.
    again = 0 if how.text == how.vision else ways
    parts = [(how.text, of_text, 0), (how.vision, again, 0), (how.vision, 2 * ways, how.frames)]
    return _sum(parts, how.size, readings=2)


def _sum(parts: Sequence[Part], size: int, readings: int) -> Asking:
    frame = (size / TOKEN_SIDE) ** 2 * ASPECT
    prompts = [(endpoint, count, count * (TEXT_TOKENS + frames * frame)) for endpoint, count, frames in parts]
    return Asking(
        requests=sum(count for _, count, _ in prompts),
        prompt_tokens=sum(tokens for _, _, tokens in prompts),
        completion_tokens=sum(count for _, count, _ in prompts) * ANSWER_TOKENS,
        money=sum(
            (tokens * endpoint.price_in + count * ANSWER_TOKENS * endpoint.price_out) / MILLION
            for endpoint, count, tokens in prompts
        ),
        readings=readings,
    )
