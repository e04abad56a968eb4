"""Traces of the machine and its user in what is about to be published."""

import json
import re
import socket
from functools import cache
from pathlib import Path

import pyarrow.parquet as pq

from nep.errors import InputError

TEXTS = frozenset(
    {".json", ".jsonl", ".md", ".txt", ".jinja", ".yaml", ".yml", ".py", ".html", ".css", ".js", ".csv", ".toml"}
)
WEIGHTS = ".safetensors"
TABLE = ".parquet"
# The column of videos, which holds no text.
VIDEO = "video"
ABSOLUTE = re.compile(r"(?<![\w.:/\\<~-])/[\w.@+-]+(?:/[\w.@+-]*\w)+")
# Below these every machine has the same.
COMMON = ("/usr/", "/bin/", "/etc/", "/dev/", "/proc/", "/sys/", "/lib")


def refuse_traces(name: str, file: Path) -> None:
    """Raise InputError where the file's text has a path of this machine, its name, or its user's home."""
    text = text_of(file)
    own = own_names().search(text)
    found = own[0] if own else next((path for path in dict.fromkeys(ABSOLUTE.findall(text)) if is_here(path)), None)
    if found:
        raise InputError(
            f"{name} ({file}): holds {found!r}, which is of this machine and nobody else's business; "
            "mend what it was made from, and make it again"
        )


def text_of(file: Path) -> str:
    """The text of a file: of weights their header, of a table its columns but the videos; of others nothing."""
    if file.suffix == TABLE:
        names = [name for name in pq.read_schema(file).names if name != VIDEO]
        return json.dumps(pq.read_table(file, columns=names).to_pylist(), ensure_ascii=False)
    if file.suffix == WEIGHTS:
        with file.open("rb") as stream:
            return stream.read(int.from_bytes(stream.read(8), "little")).decode(errors="replace")
    return file.read_text(encoding="utf-8", errors="replace") if file.suffix in TEXTS else ""


@cache
def own_names() -> re.Pattern[str]:
    """This folder, the user's home, and the machine's name where it cannot be a word of a caption."""
    names = [str(folder) for folder in (Path.home(), Path.cwd()) if folder != Path("/")]
    host = socket.gethostname()
    names += [host] if re.search(r"[\d.-]", host) and len(host) > 3 else []
    return re.compile(rf"(?<![\w.-])(?:{'|'.join(map(re.escape, names))})(?![\w-])" if names else r"(?!)")


@cache
def is_here(path: str) -> bool:
    """Whether a file or folder of this machine, and not of any, has the path."""
    try:
        return not path.startswith(COMMON) and Path(path).exists()
    except OSError:
        return False
