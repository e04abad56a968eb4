"""The block `source.frame_folders`."""

from fractions import Fraction

from pydantic import Field, field_validator

from nep.config.base import Block

# An MP4 file counts time in 32 bits.
LARGEST_TERM = 1_000_000


class FrameFolders(Block):
    """Folders of numbered images, each taken as one video (`source.kind: videos` and `table`)."""

    fps: float | str = Field(
        description="Images a second: a number or a fraction (`30000/1001`). A file `fps.txt` in a folder, and a "
        "table's column `frame_rate`, say another one for their folder."
    )
    shards: int = Field(4, ge=1, description="Jobs that share the folders.")
    processes: int = Field(2, ge=1, description="Processes of one job.")
    timeout_s: float = Field(1800, gt=0, description="Seconds after which work on one folder is given up.")

    @field_validator("fps")
    @classmethod
    def _is_a_rate(cls, fps: float | str) -> float | str:
        parse_fps(fps)
        return fps


def parse_fps(value: float | str) -> Fraction:
    """Frames a second as they are written: 25, "29.97", "30000/1001". Raises ValueError, saying what would be right."""
    try:
        fps = Fraction(str(value).strip())
    except (ValueError, ZeroDivisionError):
        raise ValueError(f"{value!r} is no frame rate; write a number or a fraction, as 30000/1001") from None
    if fps <= 0 or max(fps.numerator, fps.denominator) > LARGEST_TERM:
        raise ValueError(
            f"{value!r} is no frame rate above 0 whose fraction has terms up to {LARGEST_TERM}; "
            "write fewer decimals, or the fraction, as 30000/1001"
        )
    return fps
