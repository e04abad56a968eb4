"""The templates of the pages: every value is escaped, a name that is missing is an error."""

import base64
import hashlib
import re
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

HERE = Path(__file__).parent
NOT_PRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")


def template(name: str, folder: Path = HERE, script: str = "page.js") -> jinja2.Template:
    """The template in the file `name` of a folder, with the script beside it; it can include the files of this one."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader((folder, HERE)),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=printable,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "duration": format_duration,
        "memory": format_memory,
        "words": lambda name: name.replace("_", " "),
        "points": lambda value: f"{value:+.1f}".replace("-", "−"),
        "p_value": format_p_value,
        "thousands": lambda number: f"{number:,}",
        "file_size": format_size,
    }
    text = (folder / script).read_text(encoding="utf-8")
    digest = hashlib.sha256(text.encode()).digest()
    environment.globals |= {"script": Markup(text), "script_hash": base64.b64encode(digest).decode("ascii")}
    return environment.get_template(name)


def format_p_value(value: float) -> str:
    """Three digits, or that it is below them."""
    return f"{value:.3f}" if value >= 0.001 else "< 0.001"


def printable(value: Any) -> Any:
    """Text with the characters that HTML or UTF-8 cannot hold replaced by U+FFFD."""
    # Markup is what the template itself made of values that went through here.
    is_text = isinstance(value, str) and not isinstance(value, Markup)
    return NOT_PRINTABLE.sub("\ufffd", value) if is_text else value


def format_duration(seconds: float) -> str:
    """Two units at most: 8.4 s, 3 min 05 s, 2 h 10 min."""
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60:,} h {minutes % 60:02d} min"


def format_memory(megabytes: float) -> str:
    """MB below one GB."""
    return f"{megabytes:.0f} MB" if megabytes < 1000 else f"{megabytes / 1024:.1f} GB"


def format_size(count: int) -> str:
    """Bytes in decimal units."""
    for size, unit in ((10**12, "TB"), (10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count} B"
