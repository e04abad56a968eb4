"""What every question must keep, whether a model wrote it or a reviewer changed it."""

import re
import unicodedata
from collections.abc import Sequence

from nep.data.bounds import LENGTH_FACTOR, LENGTH_WORDS, OVERLAP_WORDS, broken_bound, folded
from nep.records.marks import without_marks
from nep.records.schema import INLINE_OPTIONS, LONE_SURROGATE
from nep.rows.question import LETTERS

MOST_CHARACTERS = 1000
_LETTERED = re.compile(r"\(?[A-D][).:]\s*\S")
_BOUNDS = {
    "option_length": "the options differ too much in length: the longest may have "
    f"{LENGTH_FACTOR:g} times the words of the shortest, or {LENGTH_WORDS} more",
    "option_overlap": f"one option repeats over {OVERLAP_WORDS} words of the question more than another one does",
}


def check_text(text: str) -> str:
    """A text on one line, without white space around it.

    Raises ValueError that says what is wrong: nothing in it, too long, a mark that stands for media or turns in a
    prompt, a control character.
    """
    plain = " ".join(text.split())
    if not plain:
        raise ValueError("a text is empty")
    if len(plain) > MOST_CHARACTERS:
        raise ValueError(f"a text has {len(plain)} characters, {MOST_CHARACTERS} are allowed: {plain[:60]!r}…")
    if marks := without_marks(plain)[1]:
        raise ValueError(f"{plain!r} holds {marks[0]!r}, which stands for media or turns in a prompt")
    if LONE_SURROGATE.search(plain) or any(unicodedata.category(character) == "Cc" for character in plain):
        raise ValueError(f"{plain!r} holds a control character or broken Unicode")
    return plain


def check_question(question: str, options: Sequence[str]) -> None:
    """Raises ValueError that says what is wrong with a question or its options, of which the order does not matter."""
    if len(options) != len(LETTERS):
        raise ValueError(f"a question has {len(LETTERS)} options, found {len(options)}")
    for text in (question, *options):
        if check_text(text) != text:
            raise ValueError(f"{text!r} has white space around it or line breaks in it")
    if INLINE_OPTIONS.search(question):
        raise ValueError("the question holds options of its own; they belong into the options")
    for option in options:
        if _LETTERED.match(option):
            raise ValueError(f"the option {option!r} begins with a letter; leave letters out")
        if folded(option) in folded(question) and len(option.split()) > 1:
            raise ValueError(f"the question names the option {option!r}")
    if len({folded(option) for option in options}) < len(options):
        raise ValueError(f"two options say the same: {', '.join(map(repr, options))}")
    if broken := broken_bound(question, options):
        raise ValueError(_BOUNDS[broken])
