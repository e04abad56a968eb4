"""Rows of the folders of images that the download stage makes videos of."""

from nep.rows.base import Row
from nep.rows.quarantine import Quarantined


class FrameVideo(Row):
    """A video made of images: its file below the videos, `frames` images at `fps` a second (a fraction)."""

    id: str
    path: str
    size: int
    sha256: str
    frames: int
    fps: str


FrameRow = FrameVideo | Quarantined
