"""What a file declares to hold, against what it holds: downloads that ended early open like whole files."""

from fractions import Fraction
from pathlib import Path

from nep.video.stream import open_video
from nep.video.timeline import Timeline

_TOLERANCE_S = Fraction(1, 2)
_TOLERANCE = Fraction(1, 50)


def ends_early(shown: Timeline, declared: Fraction | None) -> bool:
    """Whether frames end before what is declared, by more than headers are inexact."""
    return declared is not None and shown.end + _TOLERANCE_S < declared * (1 - _TOLERANCE)


def shortfall(path: Path, shown: Timeline, declared: Fraction | None) -> str | None:
    """What the file lacks: an early end of all its streams, or frames that do not decode. None for a whole file."""
    samples, others_end = _demuxed(path)
    if ends_early(shown, declared) and others_end + _TOLERANCE_S < declared * (1 - _TOLERANCE):
        return f"ends at {float(shown.end):.3f} s of {float(declared):.3f} s"
    if samples - len(shown.pts) > max(1, _TOLERANCE * samples):
        return f"{len(shown.pts)} of {samples} frames decode"
    return None


def _demuxed(path: Path) -> tuple[int, Fraction]:
    """How many frames are stored and not hidden, and when the last packet of all other streams ends, in seconds."""
    with open_video(path) as (container, stream):
        samples, end = 0, Fraction(0)
        for packet in container.demux():
            if not packet.size:
                continue
            if packet.stream is stream:
                samples += not packet.is_discard
            elif packet.pts is not None:
                end = max(end, (packet.pts + (packet.duration or 0)) * packet.time_base)
        return samples, end
