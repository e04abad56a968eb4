"""The MP4 files that parts are written to."""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import av
from av.container import OutputContainer

from nep.video.packets import video_packets
from nep.video.stream import open_video

# No edit list: readers differ in how they follow one. Reordered frames get negative composition offsets instead.
_OPTIONS = {"movflags": "+faststart+negative_cts_offsets", "use_editlist": "0", "fflags": "+bitexact"}


def create_mp4(path: Path, time_base: Fraction) -> OutputContainer:
    """Open a file for writing whose frames' time stamps count in units of `time_base` seconds."""
    options = _OPTIONS | {"video_track_timescale": str(time_base.denominator)}
    return av.open(str(path), "w", format="mp4", options=options)


def decode_times(pts: Sequence[int]) -> list[int]:
    """DTS for packets with `pts` in decode order: ascending, none after its packet's PTS, as late as possible."""
    shown = sorted(pts)
    delay = max(ready - stamp for ready, stamp in zip(shown, pts, strict=True))
    return [ready - delay for ready in shown]


def write_stamped(
    source: Path, target: Path, pts: Sequence[int], durations: Mapping[int, int], time_base: Fraction
) -> None:
    """Copy the frames of `source` and show them, in their order, at `pts` (ascending), moved to start at 0.

    `durations` are by PTS. Raises ValueError if the number of frames is another one.
    """
    with open_video(source) as (container, stream), create_mp4(target, time_base) as written:
        packets = list(video_packets(container, stream))
        places = {stamp: place for place, stamp in enumerate(sorted(packet.pts for packet in packets))}
        stamps = dict(zip(places, pts, strict=True))
        order = [stamps[packet.pts] for packet in packets]
        copied = written.add_stream_from_template(stream)
        for packet, shown, decoded in zip(packets, order, decode_times(order), strict=True):
            packet.stream = copied
            packet.time_base = time_base
            packet.pts, packet.dts, packet.duration = shown - pts[0], decoded - pts[0], durations[shown]
            written.mux(packet)
