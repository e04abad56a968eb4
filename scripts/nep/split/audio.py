"""Giving a cut part the sound of its stretch of the source, copied packet by packet."""

import heapq
import itertools
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Stream

from nep.rows.quarantine import Reason, Rejection
from nep.split.late_track import delay_sound
from nep.split.mp4 import create_mp4
from nep.video.stream import open_video

Timed = tuple[Fraction, int, Packet, Stream, int]


def add_audio(part: Path, source: Path, begin: Fraction, end: Fraction | None) -> str | None:
    """Put the first audio track of `source` from `begin` to `end` (seconds on the source's clock) into `part`.

    Only packets that lie wholly within the stretch are taken: none sounds of the other part. They begin at 0, less than
    one packet early, so that no edit list is needed; where silence goes before them, at their own time. Returns the
    track's codec, None where the source has no sound there or MP4 cannot hold its codec. Raises Rejection
    (split_not_exact) if the frames' time stamps change.
    """
    with av.open(str(source)) as sounding:
        if not sounding.streams.audio:
            return None
        track = sounding.streams.audio[0]
        mixed = part.with_name(f"audio-{part.name}")
        with open_video(part) as (container, video), create_mp4(mixed, video.time_base) as target:
            shown = target.add_stream_from_template(video)
            try:
                heard = target.add_stream_from_template(track)
                target.start_encoding()
            except (av.FFmpegError, ValueError):
                return None
            sounds = _sounds(sounding, track, heard, begin, end)
            starting = next(sounds, None)
            if starting is None:
                return None
            _mux(target, _frames(container, video, shown), itertools.chain([starting], sounds))
    late, _, packet, *_ = starting
    if late > (packet.duration or 0) * packet.time_base:
        delay_sound(mixed, late)
    if _stamps(mixed) != _stamps(part):
        raise Rejection(Reason.SPLIT_NOT_EXACT, "adding the sound moves the frames")
    mixed.replace(part)
    return track.codec_context.name


def _mux(target: OutputContainer, frames: Iterator[Timed], sounds: Iterator[Timed]) -> None:
    for _, _, packet, stream, offset in heapq.merge(frames, sounds, key=lambda timed: timed[:2]):
        packet.stream = stream
        packet.pts, packet.dts = packet.pts - offset, packet.dts - offset
        target.mux(packet)


def _frames(container: InputContainer, video: Stream, shown: Stream) -> Iterator[Timed]:
    for packet in container.demux(video):
        if packet.size:
            yield packet.dts * packet.time_base, 0, packet, shown, 0


def _sounds(
    sounding: InputContainer, track: Stream, heard: Stream, begin: Fraction, end: Fraction | None
) -> Iterator[Timed]:
    for packet in sounding.demux(track):
        if not packet.size or packet.pts is None or packet.dts is None:
            continue
        start = packet.pts * packet.time_base
        if start >= begin and (end is None or start + (packet.duration or 0) * packet.time_base <= end):
            yield start - begin, 1, packet, heard, round(begin / packet.time_base)


def _stamps(path: Path) -> list[Fraction]:
    with open_video(path) as (container, stream):
        return [packet.pts * stream.time_base for packet in container.demux(stream) if packet.size]
