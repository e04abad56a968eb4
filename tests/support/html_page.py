"""A page as a browser would take it apart; a page that is not well-formed fails."""

import base64
import hashlib
import re
from html.parser import HTMLParser

VOID = {"meta", "br", "img", "link", "hr", "input"}
SCRIPT = re.compile("<script>(.*?)</script>", re.DOTALL)
ALLOWED = re.compile("script-src 'sha256-([^']+)'")
REFERENCES = {"src", "href", "srcset", "poster", "action", "data", "xlink:href"}


class Page(HTMLParser):
    """Reads a page; fails at an element that is closed out of turn."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.ids: set[str] = set()
        self.references: list[str] = []
        self.handlers: list[str] = []
        self.texts: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._read(tag, dict(attrs))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._read(tag, dict(attrs))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "script" not in self.open and "style" not in self.open:
            self.texts.append(data)

    def _read(self, tag: str, attributes: dict[str, str | None]) -> None:
        self.tags.append(tag)
        self.ids.add(attributes.get("id") or "")
        self.references += [attributes[name] or "" for name in REFERENCES & attributes.keys()]
        self.handlers += [name for name in attributes if name.startswith("on")]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


def runs_one_known_script(html: str) -> bool:
    """Whether the page has one script, and its policy allows that one by its hash and no other."""
    (script,), (allowed,) = SCRIPT.findall(html), ALLOWED.findall(html)
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() == allowed and html.count("<script") == 1
