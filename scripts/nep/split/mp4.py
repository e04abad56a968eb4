"""The MP4 files that parts are written to."""

from fractions import Fraction
from pathlib import Path

import av
from av.container import OutputContainer

# No edit list: readers differ in how they follow one. Reordered pictures get negative composition offsets instead.
_OPTIONS = {"movflags": "+faststart+negative_cts_offsets", "use_editlist": "0", "fflags": "+bitexact"}


def create_mp4(path: Path, time_base: Fraction) -> OutputContainer:
    """Open a file for writing whose pictures' time stamps count in units of `time_base` seconds."""
    options = _OPTIONS | {"video_track_timescale": str(time_base.denominator)}
    return av.open(str(path), "w", format="mp4", options=options)
