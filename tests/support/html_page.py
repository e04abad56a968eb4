"""A page as a browser would take it apart; a page that is not well-formed fails."""

from html.parser import HTMLParser

VOID = {"meta", "br", "img", "link", "hr", "input"}
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
        self.texts.append(data)

    def _read(self, tag: str, attributes: dict[str, str | None]) -> None:
        self.tags.append(tag)
        self.ids.add(attributes.get("id") or "")
        self.references += [attributes[name] or "" for name in REFERENCES & attributes.keys()]
        self.handlers += [name for name in attributes if name.startswith("on")]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())
