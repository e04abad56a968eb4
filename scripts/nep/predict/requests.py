"""What is asked on a command line or in a file of requests, as questions."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from nep.data.prompts import Variant
from nep.download.dataset import VIDEO_SUFFIXES
from nep.errors import InputError
from nep.files import confined
from nep.records.times import parse_seconds
from nep.rows.base import SparseRow, read_rows
from nep.rows.quarantine import Rejection

_ON_THIS_MACHINE = ("", "localhost")


class Request(SparseRow):
    """One line of a file of requests; `at` in seconds or [hh:]mm:ss, what is left out is as the command says."""

    video: str
    at: float | str | None = None
    question: str | None = None
    options: tuple[str, ...] = ()
    variant: Variant | None = None


@dataclass(frozen=True)
class Asked:
    """What is asked about one video; see `Ask`."""

    video: Path
    moment: float | None
    question: str | None
    options: tuple[str, ...]
    variant: Variant


def videos_at(place: str) -> list[Path]:
    """The video of a path or `file://` URL; of a folder all videos below it, sorted by path.

    Raises InputError for another scheme, for what is not there, and for a folder without videos.
    """
    path = _local_path(place)
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise InputError(f"{place}: no such file or folder")
    found = sorted(file for file in path.rglob("*") if file.suffix.lower() in VIDEO_SUFFIXES and file.is_file())
    if not found:
        raise InputError(f"{place}: no video below it ({', '.join(sorted(VIDEO_SUFFIXES))})")
    return found


def seconds_of(moment: str | float, name: str) -> float:
    """A moment in seconds. Raises InputError that begins with `name`."""
    try:
        return parse_seconds(moment)
    except Rejection as rejection:
        raise InputError(f"{name}: {rejection.detail}") from None


def read_requests(file: Path, root: Path | None, given: Asked) -> list[Asked]:
    """The questions of a file of requests (JSON lines); paths are below `root`, the file's folder by default.

    `given` has what the command says, for what a line leaves out. Raises InputError naming file and line.
    """
    root = root or file.parent
    rows = read_rows(Request, file)
    if not rows:
        raise InputError(f'{file}: no request; a line is like {{"video": "kitchen.mp4", "at": 7.5}}')
    return [
        Asked(
            video=confined(root, row.video),
            moment=given.moment if row.at is None else seconds_of(row.at, f"{file}, row {number}, at"),
            question=row.question or given.question,
            options=row.options or given.options,
            variant=row.variant or given.variant,
        )
        for number, row in enumerate(rows, start=1)
    ]


def asked_about(places: Iterable[str], given: Asked) -> list[Asked]:
    """The same question about each of the videos."""
    return [
        Asked(video, given.moment, given.question, given.options, given.variant)
        for place in places
        for video in videos_at(place)
    ]


def _local_path(place: str) -> Path:
    if "://" not in place:
        return Path(place)
    url = urlsplit(place)
    if url.scheme != "file" or url.netloc not in _ON_THIS_MACHINE:
        raise InputError(f"{place}: nothing is fetched; give a file, a folder or a URL like file:///videos/kitchen.mp4")
    return Path(unquote(url.path))
