"""Cutting without a full encode: packets are copied, and only frames around the cut are re-encoded.

The first part takes the longest run of packets that is also a run of display; the frames up to the cut that are
stored later are few (at most the encoder's reordering) and are encoded. The second part's frames are encoded from
the cut to the next frame at which decoding can start; the rest is copied. Encoded stretches bring parameter sets of
their own, under an id that the source does not use.
"""

import errno
import hashlib
import itertools
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType, VideoFrame
from av.video.stream import VideoStream

from nep.split.cut_plan import CutPlan, plan_cut, plan_first, plan_whole
from nep.split.mp4 import create_mp4, decode_times
from nep.split.recipe import Recipe
from nep.video.h264_headers import demand
from nep.video.orientation import orientation_of
from nep.video.packets import (
    RGB,
    IrregularStreamError,
    PacketList,
    is_reference,
    length_size,
    read_packets,
    video_packets,
)
from nep.video.probe import declared_end, frame_rate
from nep.video.stream import open_video
from nep.video.timeline import Timeline, cut_pts

# A stretch ends at the next IDR picture: for a few seconds of video, the preset that costs least.
_PRESET = "ultrafast"
# So many frames of the second part's stretch are decoded again: what can go wrong shows where streams meet.
_LOOKED_AT = 4


@dataclass(frozen=True)
class Copied:
    """A source that was copied: its time line and form; the cut in its units and how many frames were encoded.

    `declared` is when it ends as its header says.
    """

    timeline: Timeline
    declared: Fraction | None
    fps: Fraction
    width: int
    height: int
    cut: int | None = None
    encoded: int = 0


def cut_by_copy(source: Path, split_time: float, first: Path, second: Path, recipe: Recipe) -> Copied:
    """Write the frames before `split_time` and the others to two MP4 files, each starting at 0, and check both.

    Raises IrregularStreamError where that cannot be done exactly or did not come out as planned, Rejection
    (split_outside_video) where one part would be empty.
    """
    with _copying(source) as (container, stream):
        packets = _packets(container, stream, recipe)
        cut = cut_pts(packets.timeline, split_time)
        plan = plan_cut(packets, cut)
        container.seek(packets.timeline.pts[0], stream=stream)
        with (
            _Part(first, stream, plan.first_pts, plan, recipe.crf) as head,
            _Part(second, stream, plan.second_pts, plan, recipe.crf) as tail,
        ):
            first_copied = _write(video_packets(container, stream), stream.codec_context, plan, head, tail)
        made = replace(_described(container, packets, stream), cut=cut, encoded=len(plan.reencoded))
    _check(first, plan.first_pts, packets.timeline, [_looked_at_of_first(plan)])
    stretch = len(plan.second_reencoded)
    runs = [range(min(stretch, _LOOKED_AT)), range(stretch, stretch + (first_copied is not None))]
    if _check(second, plan.second_pts, packets.timeline, runs) != first_copied and first_copied is not None:
        raise IrregularStreamError("the first copied frame of the second part differs from the source's")
    return made


def cut_first_by_copy(source: Path, split_time: float, first: Path, recipe: Recipe) -> Copied:
    """Write the frames before `split_time` as `cut_by_copy` does, to the same bytes, and no others.

    Of the pictures from then on, those alone are decoded that earlier ones refer to. Raises as `cut_by_copy`.
    """
    with _copying(source) as (container, stream):
        packets = _packets(container, stream, recipe)
        cut = cut_pts(packets.timeline, split_time)
        plan = plan_first(packets, cut)
        container.seek(packets.timeline.pts[0], stream=stream)
        with _Part(first, stream, plan.first_pts, plan, recipe.crf) as head:
            read = itertools.islice(video_packets(container, stream), plan.tail_start)
            _write(read, stream.codec_context, plan, head, None)
        made = replace(_described(container, packets, stream), cut=cut, encoded=len(plan.reencoded))
    _check(first, plan.first_pts, packets.timeline, [_looked_at_of_first(plan)])
    return made


def copy_whole(source: Path, target: Path) -> Copied:
    """Write all frames of `source` to an MP4 file that starts at 0, and check it. Raises IrregularStreamError."""
    with _copying(source) as (container, stream):
        packets = read_packets(container, stream)
        plan = plan_whole(packets)
        container.seek(packets.timeline.pts[0], stream=stream)
        with _Part(target, stream, plan.first_pts, plan) as part:
            for packet in video_packets(container, stream):
                part.write(packet)
        made = _described(container, packets, stream)
    _check(target, plan.first_pts, packets.timeline, [range(1)])
    return made


def _packets(container: InputContainer, stream: VideoStream, recipe: Recipe) -> PacketList:
    demand(not (recipe.for_browsers and stream.codec_context.pix_fmt == RGB), f"pixel format {RGB}, for browsers")
    return read_packets(container, stream)


@contextmanager
def _copying(source: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open a source; what PyAV raises becomes an IrregularStreamError, but for a full disk: no fault of a video."""
    try:
        with open_video(source) as opened:
            yield opened
    except av.FFmpegError as error:
        if error.errno == errno.ENOSPC:
            raise OSError(error.errno, error.strerror) from None
        raise IrregularStreamError(f"{type(error).__name__}: {error.strerror}") from None
    except ValueError as error:
        raise IrregularStreamError(str(error)) from None


def _looked_at_of_first(plan: CutPlan) -> range:
    """The packets of the first part that are decoded again: its encoded frames, or the first one where it has none."""
    return range(plan.head_end, len(plan.first_pts)) or range(1)


def _described(container: InputContainer, packets: PacketList, stream: VideoStream) -> Copied:
    context = stream.codec_context
    return Copied(packets.timeline, declared_end(container), frame_rate(stream), context.width, context.height)


def _write(
    packets: Iterable[Packet], decoder: VideoCodecContext, plan: CutPlan, head: "_Part", tail: "_Part | None"
) -> str | None:
    """Write both parts, or the first alone of packets that end with it.

    Returns the digest of the first frame copied to the second one, None where none is copied.
    """
    prefix = length_size(decoder.extradata)
    first_copied = None
    for place, packet in enumerate(packets):
        if place == plan.tail_start:
            _finish_stretch(decoder, plan, head, tail)
            first_copied = _digest_of_one(decoder, packet)
        elif plan.decode_start <= place < plan.tail_start and _is_needed(packet, plan, prefix):
            _encode(decoder.decode(packet), plan, head, tail)
        if place < plan.head_end:
            head.write(packet)
        elif place >= plan.tail_start:
            tail.write(packet)
    if first_copied is None:
        _finish_stretch(decoder, plan, head, tail)
    return first_copied


def _is_needed(packet: Packet, plan: CutPlan, prefix: int) -> bool:
    """Whether a frame must be decoded: it is re-encoded, or others may refer to it."""
    return packet.pts in plan.reencoded or is_reference(packet, prefix)


def _encode(frames: Sequence[VideoFrame], plan: CutPlan, head: "_Part", tail: "_Part | None") -> None:
    for frame in frames:
        if frame.is_corrupt or frame.interlaced_frame:
            raise IrregularStreamError("a frame around the cut is damaged or interlaced")
        if frame.pts in plan.reencoded:
            (head if frame.pts <= plan.last_of_first else tail).encode(frame)


def _finish_stretch(decoder: VideoCodecContext, plan: CutPlan, head: "_Part", tail: "_Part | None") -> None:
    _encode(decoder.decode(None), plan, head, tail)
    decoder.flush_buffers()
    for part in filter(None, (head, tail)):
        part.finish_encoding()


class _Part:
    """One MP4 being written: frames come with the time stamps that the plan gives, moved to start at 0."""

    def __init__(self, path: Path, template: VideoStream, pts: Sequence[int], plan: CutPlan, crf: int = 0) -> None:
        self._container = create_mp4(path, template.time_base)
        # PyAV opens an encoder for what it copies, and x264's has no RGB; `opaque` is a decoder in its place.
        self._stream = self._container.add_stream_from_template(template, opaque=template.codec_context.pix_fmt == RGB)
        self._template = template
        self._start = min(pts)
        self._planned = iter(zip(pts, decode_times(pts), strict=True))
        self._plan = plan
        self._crf = crf
        self._encoder: VideoCodecContext | None = None

    def __enter__(self) -> "_Part":
        return self

    def __exit__(self, *_: object) -> None:
        self._container.close()

    def write(self, packet: Packet) -> None:
        """Write a packet, the next one of the plan."""
        pts, dts = next(self._planned, (None, None))
        if packet.pts != pts:
            raise IrregularStreamError(f"a frame comes at {packet.pts}, the plan has {pts}")
        packet.stream = self._stream
        packet.time_base = self._template.time_base
        packet.pts, packet.dts = pts - self._start, dts - self._start
        packet.duration = self._plan.durations[pts]
        self._container.mux(packet)

    def encode(self, frame: VideoFrame) -> None:
        """Encode a frame; they come in the order of display."""
        if self._encoder is None:
            self._encoder = stretch_encoder(self._template, frame, self._plan.encoder_id, self._crf)
        if (frame.width, frame.height) != (self._encoder.width, self._encoder.height):
            raise IrregularStreamError("frames around the cut change their size")
        # x264 would follow the source's frame types.
        frame.pict_type = PictureType.NONE
        for packet in self._encoder.encode(frame):
            self.write(packet)

    def finish_encoding(self) -> None:
        """Write what the encoder still holds."""
        if self._encoder is not None:
            for packet in self._encoder.encode(None):
                self.write(packet)


def stretch_encoder(template: VideoStream, frame: VideoFrame, parameter_id: int, crf: int) -> VideoCodecContext:
    source = template.codec_context
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height = frame.width, frame.height
    encoder.pix_fmt = frame.format.name
    encoder.time_base = template.time_base
    encoder.framerate = frame_rate(template)
    encoder.color_range = source.color_range
    encoder.colorspace = source.colorspace
    encoder.color_primaries = source.color_primaries
    encoder.color_trc = source.color_trc
    # x264's output depends on the number of threads.
    encoder.thread_count = 1
    ratio = template.sample_aspect_ratio
    options = {
        **{"sps-id": parameter_id, "repeat-headers": 1, "annexb": 0},
        **{"bframes": 0, "keyint": "infinite", "scenecut": 0, "mbtree": 0, "rc-lookahead": 0},
        **({"sar": f"{ratio.numerator}\\:{ratio.denominator}"} if ratio else {}),
    }
    encoder.options = {
        "preset": _PRESET,
        "crf": str(crf),
        "x264-params": ":".join(f"{name}={value}" for name, value in options.items()),
    }
    return encoder


def _check(part: Path, pts: Sequence[int], source: Timeline, runs: Sequence[range]) -> str | None:
    """Compare all time stamps of a written part with `pts` of `source`, and decode each run of packets by itself.

    Returns the digest of the last decoded frame. Raises IrregularStreamError where a time stamp or a frame is not
    as planned, or readers would not show it alike.
    """
    found: list[int] = []
    shown: list[int] = []
    last: VideoFrame | None = None
    looked_at = {place for run in runs for place in run}
    ends = {run[-1] for run in runs if run}
    with open_video(part) as (container, stream):
        decoder = stream.codec_context
        for place, packet in enumerate(video_packets(container, stream)):
            found.append(packet.pts)
            if place in looked_at:
                frames = decoder.decode(packet)
                if place in ends:
                    frames += decoder.decode(None)
                    decoder.flush_buffers()
                shown += [frame.pts for frame in frames]
                last = frames[-1] if frames else last
        scale = stream.time_base / source.time_base
    if last is not None and orientation_of(last).is_mirrored:
        raise IrregularStreamError("a mirrored frame, which many readers show as it is stored")
    start = min(pts)
    wanted = [stamp - start for stamp in pts]
    if [stamp * scale.numerator for stamp in found] != [stamp * scale.denominator for stamp in wanted]:
        raise IrregularStreamError(f"the time stamps of the {part.stem} part are not those of the plan")
    frames = [stamp for run in runs for stamp in sorted(found[run.start : run.stop])]
    if shown != frames:
        raise IrregularStreamError(f"of {len(frames)} frames of the {part.stem} part, {len(shown)} decode")
    return _digest(last) if last is not None else None


def _digest_of_one(decoder: VideoCodecContext, packet: Packet) -> str:
    frames = [*decoder.decode(packet), *decoder.decode(None)]
    if len(frames) != 1:
        raise IrregularStreamError("the first packet after the cut's stretch does not hold one frame")
    return _digest(frames[0])


def _digest(frame: VideoFrame) -> str:
    digest = hashlib.sha256()
    for plane in frame.planes:
        digest.update(plane)
    return digest.hexdigest()
