"""Licences as the hub knows them."""

from dataclasses import dataclass
from pathlib import Path

import yaml

from nep.errors import InputError, did_you_mean

OTHER = "other"
IDENTIFIERS: list[str] = yaml.safe_load(Path(__file__).with_name("licences.yaml").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Licence:
    """A licence of the hub's list; `name` and `link` say which one `other` is."""

    identifier: str
    name: str | None = None
    link: str | None = None

    @property
    def header(self) -> dict[str, str]:
        """The keys of a card's header that state it."""
        named = {"license_name": self.name, "license_link": self.link} if self.identifier == OTHER else {}
        return {"license": self.identifier, **named}


def read_licence(identifier: str, name: str | None, link: str | None) -> Licence:
    """The licence of these options. Raises InputError where the hub has no such licence, or `other` is not named."""
    if identifier not in IDENTIFIERS:
        hint = did_you_mean(identifier.lower(), IDENTIFIERS) or "take one of its list, or 'other'"
        raise InputError(f"--license {identifier!r}: the hub knows no such licence; {hint}")
    if identifier == OTHER and not (name and (link or "").startswith("https://")):
        raise InputError("--license other: say which one with --license-name and --license-link (https://…)")
    if identifier != OTHER and (name or link):
        raise InputError(f"--license {identifier}: --license-name and --license-link belong to 'other'")
    return Licence(identifier, name, link)
