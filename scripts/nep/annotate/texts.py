"""Texts that a model wrote: data, which can never become a mark of a prompt or a control character."""

import unicodedata
from typing import Annotated

from pydantic import AfterValidator

from nep.records.schema import clean_text


def plain_text(text: str) -> str:
    """A text without marks of prompts and control characters. Raises ValueError where nothing is left."""
    kept = "".join(character for character in text if character in "\n\t" or unicodedata.category(character) != "Cc")
    cleaned = clean_text(kept)
    if cleaned is None:
        raise ValueError("the text is empty")
    return cleaned


def one_line(text: str) -> str:
    """A plain text on one line."""
    return " ".join(plain_text(text).split())


Text = Annotated[str, AfterValidator(plain_text)]
Line = Annotated[str, AfterValidator(one_line)]
