"""The events that a completion predicts, one after another, and how well they fit those that happen."""

import re
from collections.abc import Sequence

from sacrebleu.metrics import CHRF

_THOUGHTS = re.compile(r"<think>(.*?)</think>", re.DOTALL)
_EVENT = re.compile(r"<event>(.*?)</event>", re.DOTALL)
# What parts the events of thoughts that mark none: `sequence_joiner` of config/prompts.yaml begins so.
_BETWEEN = re.compile(r"[;\n]")
_THEN = re.compile(r"^(?:and )?then\b[ ,]*", re.IGNORECASE)
_CHRF = CHRF()


def predicted_chain(completion: str) -> list[str]:
    """The texts of the `<event>` blocks among the thoughts, in their order; without any, the thoughts' clauses, parted
    by semicolons and line breaks, without a leading "then". None without the one `<think>` block."""
    thoughts = _THOUGHTS.findall(completion)
    if len(thoughts) != 1:
        return []
    marked = _EVENT.findall(thoughts[0])
    clauses = marked or [_THEN.sub("", clause.strip()) for clause in _BETWEEN.split(thoughts[0])]
    return [clause.strip() for clause in clauses if clause.strip()]


def chain_similarity(predicted: Sequence[str], true: Sequence[str]) -> float:
    """Mean similarity of the predicted events to the true ones that they stand for, in [0, 1]; 0 without any.

    Each predicted event stands for one true event at most, each true one for one predicted event, and in their order:
    of all such pairings the one with the greatest sum counts (the longest common subsequence, where two events match to
    a degree). Similarity of two texts is chrF.
    """
    if not predicted:
        return 0.0
    # best[j]: the greatest sum over the events so far and the first j true ones.
    best = [0.0] * (len(true) + 1)
    for event in predicted:
        before = best
        best = [0.0]
        for place, other in enumerate(true):
            best.append(max(best[place], before[place + 1], before[place] + _similarity(event, other)))
    return best[-1] / len(predicted)


def length_score(events: int, wanted: int) -> float:
    """1 for `wanted` events, less by 1 / `wanted` for each one more or less, and never below 0."""
    return max(0.0, 1.0 - abs(events - wanted) / wanted)


def _similarity(one: str, other: str) -> float:
    """chrF of two texts in [0, 1], capitals and full stops aside."""
    return _CHRF.sentence_score(_plain(one), [_plain(other)]).score / 100


def _plain(text: str) -> str:
    return text.strip().rstrip(".").casefold()
