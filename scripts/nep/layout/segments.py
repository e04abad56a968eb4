"""Files of the two parts of a video, below the folder of a run."""

from typing import Literal


def segment_path(part: Literal["first", "second"], identity: str) -> str:
    """The file of one part of the video with the record id `identity`."""
    return f"segments/{part}/{identity}.mp4"
