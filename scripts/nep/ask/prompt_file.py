"""A prompt that lies in a file of its own, where users can change it."""

import string
from collections.abc import Set
from pathlib import Path

from nep.errors import InputError


def load_prompt(file: Path, places: Set[str] = frozenset()) -> str:
    """The text of a prompt, which holds `{name}` for each of `places` and no other braces.

    Raises InputError that names a file which is missing, empty, or has other places.
    """
    try:
        text = file.read_text(encoding="utf-8").strip()
        found = {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}
    except FileNotFoundError:
        raise InputError(f"{file}: no such file; each step has a prompt of its own") from None
    except ValueError as error:
        raise InputError(f"{file}: {error}") from None
    if not text:
        raise InputError(f"{file}: the prompt is empty")
    if found != places:
        wanted = ", ".join(f"{{{name}}}" for name in sorted(places)) or "no place in braces"
        raise InputError(f"{file}: the prompt must hold {wanted}, found {', '.join(sorted(found)) or 'none'}")
    return text
