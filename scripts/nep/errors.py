"""Errors that a user can act on."""

import difflib


class InputError(Exception):
    """Bad input: the message names the file, the record, the value found and what would be right."""


def did_you_mean(word: str, known: list[str]) -> str | None:
    """The question that offers the known word nearest to a misspelt one; None where none is near."""
    near = difflib.get_close_matches(word, known, n=1)
    return f"did you mean '{near[0]}'?" if near else None
