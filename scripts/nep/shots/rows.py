"""The rows of `shots.jsonl`."""

from nep.records.schema import Row


class VideoShots(Row):
    """A plain video that can be annotated.

    Attributes:
        id: as its record will have it. video: path below the video folder, as in its annotation. sha256: of the file.
        frames: number of frames. duration: seconds from its first frame to its end. fps: frames a second.
        width, height: in pixels, as shown. boundaries: seconds from the first frame at which a new shot begins.
    """

    id: str
    video: str
    sha256: str
    frames: int
    duration: float
    fps: float
    width: int
    height: int
    boundaries: tuple[float, ...]
