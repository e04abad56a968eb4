"""Verifiable rewards of a completion's text: the built-in ones, and any Python function that the recipe names."""

import importlib
import math
import re
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sacrebleu.metrics import CHRF

from nep.config.grpo import Grpo
from nep.errors import InputError
from nep.stats.answers import parse_answer
from nep.train.rl.event_chains import chain_similarity, length_score, predicted_chain

Row = Mapping[str, Any]
Reward = Callable[[str, str, Row], float]

_FORM = re.compile(r"\s*<think>(?:(?!</?think>).)*</think>\s*<answer>\s*[A-D]\s*</answer>\s*", re.DOTALL)
_THOUGHTS = re.compile(r"<think>(.*?)</think>", re.DOTALL)
_ANSWER = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)
_CHRF = CHRF()
BETTER_THAN_SHUFFLED = 0.8


def format_reward(completion: str, answer: str, row: Row) -> float:
    """1 when the completion is one `<think>` block followed by one `<answer>` block with a letter, and nothing else."""
    return float(_FORM.fullmatch(completion) is not None)


def letter_reward(completion: str, answer: str, row: Row) -> float:
    """1 when the completion has the right form, no other answer tag among its thoughts, and the right letter."""
    # A reward must not pay for several guesses.
    tags = (completion.count("<answer>"), completion.count("</answer>"))
    return float(
        format_reward(completion, answer, row) == 1.0 and tags == (1, 1) and parse_answer(completion) == answer
    )


def think_length_reward(completion: str, answer: str, row: Row, bounds: tuple[int, int]) -> float:
    """1 when the one `<think>` block has so many words (both bounds belong to it)."""
    thoughts = _THOUGHTS.findall(completion)
    return float(len(thoughts) == 1 and bounds[0] <= len(thoughts[0].split()) <= bounds[1])


def similarity_reward(completion: str, answer: str, row: Row) -> float:
    """chrF of the text in the one `<answer>` block against `answer`, in [0, 1]; 0 without such a block.

    chrF (Popović, 2015) compares character n-grams: it needs no tokenizer and also grades answers of a few words.
    """
    said = _ANSWER.findall(completion)
    return _CHRF.sentence_score(said[0].strip(), [answer]).score / 100 if len(said) == 1 else 0.0


def event_chain_reward(completion: str, answer: str, row: Row) -> float:
    """Similarity of the chain of events among the thoughts to the second part's events, in [0, 1].

    After Video-CoE, arXiv 2603.14935, which compares a chain of seen events with clips; here both sides are texts, and
    of what is not seen. Raises ValueError for a question that comes without events.
    """
    if not (events := row.get("events")):
        raise ValueError("the question has no events; set convert.event_chains, and ask about first parts")
    return chain_similarity(predicted_chain(completion), events)


def chain_length_reward(completion: str, answer: str, row: Row, wanted: int) -> float:
    """1 for a chain of `wanted` events among the thoughts, falling by equal steps to 0.

    Video-CoE, arXiv 2603.14935, found three events best; the linear fall is this project's own.
    """
    return length_score(len(predicted_chain(completion)), wanted)


def overlong_penalty(tokens: int, limit: int, buffer: int) -> float:
    """0 up to `limit` − `buffer` tokens, then falling to −1 at `limit`. Source: DAPO, arXiv 2503.14476, eq. 13."""
    return -max(0, tokens - (limit - buffer)) / buffer if buffer else 0.0


def shuffled_bonuses(accurate: Sequence[bool], shuffled: Sequence[bool], bonus: float) -> list[float]:
    """`bonus` for right completions, where the frames in order give 0.8 of the shuffled frames' accuracy or more.

    Source: T-GRPO, Video-R1, arXiv 2503.21776, section 3.1; the factor is that of its published code.
    """
    earned = sum(accurate) / len(accurate) >= BETTER_THAN_SHUFFLED * sum(shuffled) / len(shuffled)
    return [bonus * (right and earned) for right in accurate]


def is_accurate(completion: str, answer: str) -> bool:
    """Whether the letter is the right one, read as the evaluation reads it."""
    return parse_answer(completion) == answer


@dataclass(frozen=True)
class Scored:
    """What one completion earns: each reward by name without its weight, their weighted sum, and how many failed."""

    rewards: dict[str, float]
    total: float
    failed: int


class Rewards:
    """The rewards of a recipe. Making it raises InputError naming an import path that gives no function."""

    def __init__(self, grpo: Grpo) -> None:
        built_in: dict[str, Reward] = {
            "letter": letter_reward,
            "format": format_reward,
            "think_length": partial(think_length_reward, bounds=grpo.think_words),
            "similarity": similarity_reward,
            "event_chain": event_chain_reward,
            "chain_length": partial(chain_length_reward, wanted=grpo.chain_events),
        }
        self._weights = grpo.rewards
        self._functions = {name: built_in.get(name) or imported(name) for name in grpo.rewards}
        self._zero_on_error = grpo.on_reward_error == "zero"

    @property
    def names(self) -> list[str]:
        """Names of the rewards, in the order of the recipe."""
        return list(self._weights)

    def score(self, completion: str, row: Row) -> Scored:
        """What `completion` earns as an answer to the question `row`.

        Raises InputError with the row's id, the reward's name and the error where a reward raises or gives no finite
        number, unless the recipe counts it as 0.
        """
        rewards, failed = {}, 0
        for name, function in self._functions.items():
            try:
                rewards[name] = _finite(function(completion, row["answer"], row))
            # A user's function may raise anything; which one it was is all that matters here.
            except Exception as error:
                if not self._zero_on_error:
                    raise InputError(f"record {row['id']}: reward {name!r}: {_described(error)}") from error
                rewards[name] = 0.0
                failed += 1
        return Scored(rewards, sum(self._weights[name] * value for name, value in rewards.items()), failed)


def imported(path: str) -> Reward:
    """The function that `package.module:function` names, also below the working folder. Raises InputError."""
    module_name, _, name = path.partition(":")
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))
    try:
        function = getattr(importlib.import_module(module_name), name)
    # Importing runs the user's code, which may raise anything.
    except Exception as error:
        raise InputError(f"grpo.rewards: {path!r} cannot be imported from {Path.cwd()}: {_described(error)}") from error
    if not callable(function):
        raise InputError(f"grpo.rewards: {path!r} is {function!r}, not a function of (completion, answer, row)")
    return function


def _finite(value: object) -> float:
    number = float(value)  # type: ignore[arg-type]
    if not math.isfinite(number):
        raise ValueError(f"gave {value!r}, not a finite number")
    return number


def _described(error: Exception) -> str:
    """Kind, text and place of an error."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})"
    return f"{type(error).__name__}: {error}{place}"
