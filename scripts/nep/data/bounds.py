"""Bounds that the options of one question keep, so that no option stands out by its form."""

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

# Numbers of words of two options differ by no more than this factor, or these words.
LENGTH_FACTOR = 1.5
LENGTH_WORDS = 3
# Of the question's words, no option repeats more than another one does by more than this number.
OVERLAP_WORDS = 2

_WORD = re.compile(r"\w+")
_QUOTES = re.compile(r"[\"'`´‘’‚‛“”„‟«»‹›「」『』]")
_DASHES = re.compile(r"[‐‑‒–—―−]")
# Not a point, comma or colon in a number, and not the sign of one.
_PUNCTUATION = re.compile(r"[;!?¿¡…。、]|(?<!\d)[.,:]|[.,:](?!\d)|(?<=[^\W\d])-|-(?=[^\W\d]|\s|$)")


@lru_cache(maxsize=4096)
def folded(text: str) -> str:
    """What a text says, whatever its case, Unicode form, quotes, punctuation and spaces: equal for equal options."""
    plain = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return " ".join(_PUNCTUATION.sub(" ", _DASHES.sub("-", _QUOTES.sub("", plain))).split()) or plain


def is_similar_length(text: str, other: str) -> bool:
    """By the number of words; see LENGTH_FACTOR and LENGTH_WORDS."""
    shorter, longer = sorted((len(text.split()), len(other.split())))
    return longer <= max(shorter * LENGTH_FACTOR, shorter + LENGTH_WORDS)


def overlap(question: str, option: str) -> int:
    """How many different words of the question the option repeats."""
    return len(words(question) & words(option))


@lru_cache(maxsize=1024)
def words(text: str) -> frozenset[str]:
    """The different words of a text, without case."""
    return frozenset(_WORD.findall(text.casefold()))


def broken_bound(question: str, options: Sequence[str]) -> str | None:
    """The first bound that the options break: "option_length" or "option_overlap"; None where they keep both."""
    by_length = sorted(options, key=lambda option: len(option.split()))
    if not is_similar_length(by_length[0], by_length[-1]):
        return "option_length"
    overlaps = [overlap(question, option) for option in options]
    return "option_overlap" if max(overlaps) - min(overlaps) > OVERLAP_WORDS else None
