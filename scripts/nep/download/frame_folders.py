"""Folders of images as sources of videos: which there are, in which order their images are shown, and how fast."""

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from nep.config.frame_folders import parse_fps
from nep.errors import InputError
from nep.records.schema import check_video_path, record_id
from nep.rows.quarantine import Reason, Rejection

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"})
VIDEO_SUFFIX = ".mp4"
# In a folder of images: how many of them are shown a second.
RATE_FILE = "fps.txt"
_LAST_NUMBER = re.compile(r"(.*?)(\d+)(\D*)", re.DOTALL)


@dataclass(frozen=True)
class FrameFolder:
    """A sequence of images that is taken as one video, all as the source has it.

    Attributes:
        path: of the folder below the source; where `images` are listed, just the video's name.
        images: paths below the source, in the order in which they are shown; None: those in the folder.
        fps: frames a second; None: as the folder's `fps.txt` or the configuration says.
    """

    path: str
    images: Any = None
    fps: Any = None

    @property
    def video(self) -> str:
        """Path of the video that is made of it, below the run's videos."""
        return self.path if PurePosixPath(self.path).suffix == VIDEO_SUFFIX else self.path + VIDEO_SUFFIX

    @property
    def identity(self) -> str:
        """The id that the video's record has."""
        return record_id(self.video)


def is_image(name: str) -> bool:
    """Whether a file's name ends like an image's."""
    return PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES


def folders_of_images(names: Iterable[str], videos: Iterable[str]) -> list[FrameFolder]:
    """The folders among a source's files `names` that hold images and none of its `videos`, sorted by path.

    Raises InputError where images lie beside no folder, right in the source.
    """
    with_videos = {PurePosixPath(name).parent for name in videos}
    folders = {PurePosixPath(name).parent for name in names if is_image(name)} - with_videos
    if PurePosixPath() in folders:
        raise InputError("images lie right in the source's folder; put those of each video into a folder of their own")
    return [FrameFolder(folder.as_posix()) for folder in sorted(folders)]


def folders_of_rows(root: Path, rows: Iterable[Mapping[str, Any]]) -> list[FrameFolder]:
    """What the rows of a table name that is no file: folders below `root`, and lists of images (`frame_files`).

    Of two rows with one name, the first counts: the parser rejects the other.
    """
    found: dict[str, FrameFolder] = {}
    for row in rows:
        try:
            path = check_video_path(row["video_path"])
        except Rejection:
            # The parser says what is wrong with it.
            continue
        if row["frame_files"] is not None or (root / path).is_dir():
            folder = FrameFolder(path, row["frame_files"], row["frame_rate"])
            found.setdefault(folder.video, folder)
    return [found[video] for video in sorted(found)]


def images_of(root: Path, folder: FrameFolder) -> list[str]:
    """Paths of its images below `root`, in the order in which they are shown.

    Raises Rejection: `bad_record` for a list that is none of paths below `root`, else as `ordered`.
    """
    if folder.images is None:
        files = [path.name for path in (root / folder.path).iterdir() if path.is_file() and path.name[0] != "."]
        return [f"{folder.path}/{name}" for name in ordered(name for name in files if is_image(name))]
    if not isinstance(folder.images, list):
        raise Rejection(Reason.BAD_RECORD, f"frame_files must be a list of images, found {folder.images!r}")
    return [check_video_path(name) for name in folder.images]


def ordered(names: Iterable[str]) -> list[str]:
    """Names of images by the last number in each, which must rise in equal steps; all else in them must be alike.

    Raises Rejection: `unordered_images`, or `missing_image` where a number is missing, as then all later images would
    be shown too early.
    """
    numbered: dict[int, str] = {}
    alike: dict[tuple[str, str], str] = {}
    for name in sorted(names):
        found = _LAST_NUMBER.fullmatch(PurePosixPath(name).stem)
        if found is None:
            raise Rejection(Reason.UNORDERED_IMAGES, f"{name!r} has no number; {_INSTEAD}")
        before, number, behind = found.groups()
        alike.setdefault((before, behind), name)
        if int(number) in numbered:
            raise Rejection(Reason.UNORDERED_IMAGES, f"{numbered[int(number)]!r} and {name!r} have one number")
        numbered[int(number)] = name
    if len(alike) > 1:
        one, other = list(alike.values())[:2]
        raise Rejection(Reason.UNORDERED_IMAGES, f"{one!r} and {other!r} are not numbered alike; {_INSTEAD}")
    numbers = sorted(numbered)
    _check_steps(numbers, numbered)
    return [numbered[number] for number in numbers]


_INSTEAD = "number the images of a folder, or list them in a table (frame_files)"


def _check_steps(numbers: Sequence[int], names: Mapping[int, str]) -> None:
    steps = {right - left for left, right in itertools.pairwise(numbers)}
    step = min(steps, default=1)
    for left, right in itertools.pairwise(numbers):
        if right - left != step:
            missing = f"no image between {names[left]!r} and {names[right]!r}, where others are {step} apart"
            raise Rejection(Reason.MISSING_IMAGE, f"{missing}; add it, or list the images in a table (frame_files)")


def rate_of(root: Path, folder: FrameFolder, default: float | str) -> str:
    """Frames a second, a fraction as text: by the row, else by `fps.txt` in the folder, else `default`.

    Raises Rejection (bad_frame_rate).
    """
    file = root / folder.path / RATE_FILE
    try:
        if folder.fps is not None:
            return str(parse_fps(folder.fps))
        return str(parse_fps(file.read_text(encoding="utf-8") if file.is_file() else default))
    except ValueError as error:
        where = "frame_rate" if folder.fps is not None else f"{folder.path}/{RATE_FILE}"
        raise Rejection(Reason.BAD_FRAME_RATE, f"{where}: {error}") from None


def listed_folders(listing: dict[str, Any]) -> list[FrameFolder]:
    """The folders of images that the listing of a source has."""
    return [FrameFolder(**row) for row in listing["frame_folders"]]
