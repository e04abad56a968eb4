"""The rows of `shots.jsonl`."""

from nep.rows.base import Row
from nep.rows.quarantine import Quarantined


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


class LookedThrough(VideoShots):
    """The same with the video's signature, as `nep.dedup.signature.to_json` writes it; empty where it is too short."""

    signature: dict[str, str]

    def without_signature(self) -> VideoShots:
        """What later stages read."""
        return VideoShots(**self.model_dump(exclude={"signature"}))


ShotsRow = LookedThrough | Quarantined
