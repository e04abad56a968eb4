"""What a model sees of a video: the part before a moment, as the split stage cuts it, and its sampled frames."""

import os
import tempfile
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from nep.config.vision import Vision
from nep.encode.frames import decode_clip
from nep.errors import InputError
from nep.files import sha256_of_file, sha256_of_json
from nep.fingerprint import code_fingerprint
from nep.layout.segments import segment_path
from nep.model.clip import Clip
from nep.model.resizing import Resizing
from nep.rows.cut import LostVideo
from nep.rows.quarantine import Rejection
from nep.split import task as split_task
from nep.split.recipe import Recipe
from nep.split.task import SplitTask, decided_by, split_video

# As the split stage cuts by default.
RECIPE = Recipe(crf=18, preset="veryfast")
LIMIT_S = 300.0


def default_cache() -> Path:
    """Folder of first parts: `nep/first_parts` in the user's cache folder (`XDG_CACHE_HOME`, else `~/.cache`)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nep" / "first_parts"


class UnusableVideoError(InputError):
    """A video that no model can be asked about at this moment; the message says why. Others may be."""


@dataclass(frozen=True)
class FirstParts:
    """First parts of videos in `folder`, by the content of the file, the moment and the code that cuts.

    Each is cut once; it is in no other process's way, and may be deleted at any time. The last clip that was read is
    kept in `last`, by all that decides it: models and samples that are asked the same share it.
    """

    folder: Path
    last: dict[str, Clip] = field(default_factory=dict, compare=False, repr=False)

    def file(self, video: Path, moment: float | None) -> Path:
        """MP4 of what is shown before `moment` seconds, of all for None. Raises UnusableVideoError."""
        if not video.is_file():
            raise UnusableVideoError(f"{video}: no such file")
        state = video.stat()
        digest = _digest(video.resolve(), state.st_size, state.st_mtime_ns)
        identity = sha256_of_json({"video": digest, "moment": moment, "cut": _cutting()})
        part = self.folder / segment_path("first", identity)
        if not part.is_file():
            self._cut(identity, video, moment)
        return part

    def _cut(self, identity: str, video: Path, moment: float | None) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".cut-", dir=self.folder) as scratch:
            row = split_video(
                SplitTask(
                    identity=identity,
                    source=video.resolve(),
                    split_time=moment,
                    already_cut=moment is None,
                    run_dir=self.folder.resolve(),
                    scratch=Path(scratch) / "work",
                    recipe=RECIPE,
                    limit_s=LIMIT_S,
                    first_alone=True,
                )
            )
        if isinstance(row, LostVideo):
            raise UnusableVideoError(f"{video}: {row.reason} ({row.detail})")


def first_part(video: Path, moment: float | None, vision: Vision, resizing: Resizing, parts: FirstParts) -> Clip:
    """The frames that a model is shown of a video up to a moment, by the budget that it was trained with.

    Raises UnusableVideoError.
    """
    try:
        part = parts.file(video, moment)
        key = sha256_of_json({"part": part.name, "vision": vision.model_dump(), "resizing": resizing.recipe})
        clip = parts.last.get(key) or decode_clip(part, vision, resizing)
    except Rejection as rejection:
        raise UnusableVideoError(f"{video}: {rejection.reason} ({rejection.detail})") from None
    parts.last.clear()
    parts.last[key] = clip
    return clip


@cache
def _digest(video: Path, size: int, changed: int) -> str:
    """Hash of a file's bytes, once for each size and time of change."""
    return sha256_of_file(video)


@cache
def _cutting() -> dict[str, object]:
    """What decides a part's bytes beside video and moment."""
    code = Path(split_task.__file__)
    return decided_by(RECIPE, code_fingerprint(code, code.parents[2]))
