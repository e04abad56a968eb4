"""Cards: the README.md of a repository, a YAML header that the hub reads and a text for people."""

from typing import Any

import yaml

from nep.errors import InputError

MARK = "---\n"


def read_card(text: str, name: str) -> tuple[dict[str, Any], str]:
    """Header and text of a card. Raises InputError where it has no header."""
    parts = text.split(MARK, 2)
    header = yaml.safe_load(parts[1]) if len(parts) == 3 and not parts[0] else None
    if not isinstance(header, dict):
        raise InputError(f"{name}: no YAML header between two lines '---'")
    return header, parts[2]


def write_card(header: dict[str, Any], text: str) -> str:
    """The card of a header and a text."""
    dumped = yaml.safe_dump(header, sort_keys=False, allow_unicode=True)
    return f"{MARK}{dumped}{MARK}{text}"


def configuration(values: dict[str, Any]) -> str:
    """Blocks of a configuration as the YAML that a user pastes."""
    return yaml.safe_dump(values, sort_keys=False, default_flow_style=None, width=110).rstrip()


def use_section(intro: str, values: dict[str, Any]) -> str:
    """The section of a card that says how its repository is used in a configuration."""
    return f"\n## Use\n\n{intro}\n\n```yaml\n{configuration(values)}\n```\n"
