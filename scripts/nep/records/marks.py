"""Marks that stand for media and turns in a prompt: no text of the source may hold one."""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

# Those of ShareGPT rows, and the form of most chat templates; the tokenizer's own are taken out where it is known
# (`nep.model.plain_text`).
MARK = re.compile(r"<(?:image|video|audio)>|<\|[^\s<>|]{1,40}\|>")
# Where ShareGPT puts the video of a question.
_ENDS = re.compile(r"^\s*(?:<(?:image|video|audio)>\s*)+|(?:\s*<(?:image|video|audio)>)+\s*$")


def without_marks(text: str) -> tuple[str, list[str]]:
    """A text without marks, also those that appear when others are taken out, and what was taken out."""
    found = []
    while marks := MARK.findall(text):
        found += marks
        text = MARK.sub("", text)
    return text, found


def marks_in(value: Any) -> Counter[str]:
    """The marks in all texts of a row, but for media placeholders at either end of a text."""
    return Counter(mark for text in _texts(value) for mark in without_marks(_ENDS.sub("", text))[1])


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts(item)
