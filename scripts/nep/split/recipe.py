"""How parts are made."""

from dataclasses import dataclass
from typing import Literal

PRESETS = (
    *("ultrafast", "superfast", "veryfast", "faster", "fast", "medium"),
    *("slow", "slower", "veryslow", "placebo"),
)


@dataclass(frozen=True)
class Recipe:
    """x264's constant rate factor (0 lossless to 51); its preset where a whole video is encoded; the sound's fate.

    `incomplete`: what becomes of a video that holds less than its file declares. `for_browsers`: nothing is copied that
    browsers do not show, which is RGB.
    """

    crf: int
    preset: str
    audio: Literal["drop", "keep"] = "drop"
    incomplete: Literal["note", "quarantine"] = "note"
    for_browsers: bool = False
