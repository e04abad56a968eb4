"""What annotating one video takes of the models that are asked, by assumptions on the lengths of texts."""

from dataclasses import dataclass

from nep.annotate.steps import PLACE_CUT, VERIFY, steps_of
from nep.config.annotate import Annotate

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


def asking_of(annotate: Annotate) -> Asking:
    """What the steps of a configuration take, where no video is left out on the way."""
    frame = (annotate.size / TOKEN_SIDE) ** 2 * ASPECT
    prompt = completion = money = 0.0
    steps = steps_of(annotate)
    for step in steps:
        endpoint = annotate.vision if step.sees else annotate.text_endpoint
        tokens = TEXT_TOKENS + (annotate.frames * frame if step.sees else 0)
        prompt += tokens
        completion += ANSWER_TOKENS
        money += (tokens * endpoint.price_in + ANSWER_TOKENS * endpoint.price_out) / MILLION
    # The whole video's frames are read once for all steps, those of its two parts once each.
    readings = sum(2 if step is VERIFY else 1 for step in steps if step.sees and step is not PLACE_CUT)
    return Asking(len(steps), prompt, completion, money, readings)
