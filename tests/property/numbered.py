"""Videos whose frames say their own number, in every codec, container and timing that the cut has to handle."""

import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from support.display_matrix import ORIENTATIONS, QUARTER_TURN, UPRIGHT, write_orientation

from nep.video.orientation import Orientation
from nep.video.tools import find_ffmpeg, run_ffmpeg

WIDTH, HEIGHT, BITS = 128, 96, 8
BLOCK = WIDTH // BITS
X264 = ("-c:v", "libx264", "-preset", "veryfast", "-threads", "1", "-pix_fmt", "yuv420p")
DROPPED = "select='not(eq(mod(n,5),2))*not(eq(mod(n,7),3))'"
VARIABLE = ("-vf", DROPPED, "-fps_mode", "passthrough")


@dataclass(frozen=True)
class Kind:
    """How a video is made: file name, ffmpeg's output options, number and rate of frames, where it is then begun."""

    name: str
    options: Sequence[str]
    frames: int = 72
    rate: str = "24"
    start: str | None = None
    orientation: Orientation = UPRIGHT


X265 = ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params")
VP9 = ("-c:v", "libvpx-vp9", "-cpu-used", "8", "-deadline", "realtime", "-crf", "20", "-b:v", "0", "-g", "24")

KINDS = [
    Kind("plain.mp4", (*X264, "-bf", "0", "-g", "12")),
    Kind("b_frames.mp4", (*X264, "-bf", "3", "-g", "24")),
    Kind("pyramid.mp4", (*X264, "-bf", "7", "-b_strategy", "2", "-x264-params", "b-pyramid=normal:keyint=30")),
    Kind("strict_pyramid.mkv", (*X264, "-bf", "5", "-x264-params", "b-pyramid=strict:keyint=20")),
    Kind("open_gop.mp4", (*X264, "-bf", "3", "-x264-params", "open-gop=1:keyint=16:min-keyint=16")),
    Kind("one_gop.mp4", (*X264, "-bf", "2", "-g", "1000")),
    Kind("all_intra.mov", (*X264, "-g", "1")),
    Kind("refs_slices.mov", (*X264, "-bf", "3", "-g", "18", "-x264-params", "ref=8:slices=4:weightp=2")),
    Kind("recovery.mkv", (*X264, "-bf", "0", "-x264-params", "intra-refresh=1:keyint=24")),
    Kind("tagged.mp4", (*X264, "-bf", "2", "-g", "24", "-colorspace", "bt709", "-color_primaries", "bt709",
                        "-color_trc", "bt709", "-color_range", "tv", "-aspect", "16:9")),
    Kind("fragmented.mp4", (*X264, "-bf", "2", "-g", "24", "-movflags", "frag_keyframe+empty_moov")),
    Kind("ntsc.mp4", (*X264, "-bf", "2", "-g", "30"), rate="30000/1001"),
    Kind("variable.mkv", (*VARIABLE, *X264, "-bf", "3", "-g", "24")),
    Kind("variable.mp4", (*VARIABLE, *X264, "-bf", "2", "-g", "18")),
    Kind("late.mkv", (*X264, "-bf", "2", "-g", "24", "-output_ts_offset", "7.3")),
    Kind("negative.mp4", (*X264, "-bf", "2", "-g", "24", "-output_ts_offset", "-0.5", "-avoid_negative_ts", "disabled",
                          "-movflags", "negative_cts_offsets")),
    Kind("edit_list.mp4", (*X264, "-bf", "2", "-g", "24"), start="0.6"),
    Kind("rotated.mp4", (*X264, "-bf", "2", "-g", "24"), orientation=QUARTER_TURN),
    *(Kind(f"shown_{number}.mp4", (*X264, "-bf", "2", "-g", "24"), orientation=orientation)
      for number, orientation in enumerate(ORIENTATIONS)),
    Kind("two_frames.mp4", X264, frames=2),
    Kind("in_avi.avi", (*X264, "-bf", "0", "-g", "24")),
    Kind("b_frames.avi", (*X264, "-bf", "3", "-g", "24")),
    Kind("program.mpg", ("-c:v", "mpeg2video", "-q:v", "2", "-bf", "2", "-g", "24")),
    Kind("flash.flv", (*X264, "-bf", "3", "-g", "24")),
    Kind("sorenson.flv", ("-c:v", "flv", "-q:v", "2")),
    Kind("transport.ts", (*X264, "-bf", "2", "-g", "24", "-output_ts_offset", "3")),
    Kind("ten_bit.mp4", (*X264[:-1], "yuv420p10le", "-bf", "2", "-g", "24")),
    Kind("full_chroma.mp4", (*X264[:-1], "yuv444p", "-bf", "2", "-g", "24")),
    Kind("interlaced.mp4", (*X264, "-flags", "+ildct+ilme", "-x264-params", "tff=1", "-bf", "2", "-g", "24")),
    Kind("hevc.mp4", (*X265, "log-level=error:pools=1:keyint=24")),
    Kind("hevc_open.mkv", (*X265, "log-level=error:pools=1:keyint=24:bframes=3:open-gop=1")),
    Kind("vp9.webm", VP9),
    Kind("av1.mkv", ("-c:v", "libaom-av1", "-cpu-used", "8", "-usage", "realtime", "-crf", "20", "-g", "24")),
    Kind("mpeg4.avi", ("-c:v", "mpeg4", "-q:v", "2", "-bf", "2", "-g", "24")),
]  # fmt: skip

# What is handled packet by packet: for these, a full encode or decode would be a failure.
COPIED = {
    *("plain.mp4", "b_frames.mp4", "pyramid.mp4", "strict_pyramid.mkv", "open_gop.mp4", "one_gop.mp4", "all_intra.mov"),
    *("refs_slices.mov", "recovery.mkv", "tagged.mp4", "fragmented.mp4", "ntsc.mp4", "variable.mkv", "variable.mp4"),
    *("late.mkv", "rotated.mp4", "two_frames.mp4", "flash.flv"),
    *(f"shown_{number}.mp4" for number, orientation in enumerate(ORIENTATIONS) if not orientation.is_mirrored),
}


def make(kind: Kind, folder: Path, picture: Callable[[int], NDArray[np.uint8]] | None = None) -> Path:
    """Write the video of a kind; its frames bear the numbers 0, 1, 2 …, or are what `picture` makes of these."""
    path = folder / kind.name
    target = folder / f"whole-{kind.name}" if kind.start else path
    command = [find_ffmpeg(), "-nostdin", "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "gray"]
    command += ["-s", f"{WIDTH}x{HEIGHT}", "-r", kind.rate, "-i", "pipe:0", *kind.options, str(target)]
    frames = b"".join((picture or frame)(number).tobytes() for number in range(kind.frames))
    subprocess.run(command, input=frames, check=True, timeout=300)
    if kind.start:
        # Copied from between two keyframes: the file keeps what comes before, hidden by an edit list.
        run_ffmpeg(["-nostdin", "-v", "error", "-y", "-ss", kind.start, "-i", str(target), "-c", "copy", str(path)])
    if kind.orientation != UPRIGHT:
        write_orientation(path, kind.orientation, (WIDTH, HEIGHT))
    return path


def frame(number: int) -> NDArray[np.uint8]:
    """Luma (HEIGHT, WIDTH): the number's bits as black and white blocks above, something that moves below."""
    bits = [(number >> bit) & 1 for bit in range(BITS)]
    code = np.repeat(np.array(bits, dtype=np.uint8) * 180 + 40, BLOCK)
    rows, columns = np.mgrid[0 : HEIGHT // 2, 0:WIDTH]
    moving = (128 + 60 * np.sin((columns + 3 * number) / 9) * np.cos((rows - 2 * number) / 7)).astype(np.uint8)
    return np.concatenate([np.broadcast_to(code, (HEIGHT // 2, WIDTH)), moving])


def number_of(luma: NDArray[np.uint8], orientation: Orientation = UPRIGHT) -> int:
    """The number that a frame bears which is shown in `orientation`."""
    flipped = luma[:: -1 if orientation.up_down else 1, :: -1 if orientation.left_right else 1]
    straight = flipped.swapaxes(0, 1) if orientation.transposed else flipped
    blocks = straight[8 : HEIGHT // 2 - 8].reshape(-1, BITS, BLOCK)[:, :, 4:-4].mean(axis=(0, 2))
    return sum(int(block > 128) << bit for bit, block in enumerate(blocks))
