"""Small generated videos of every kind that the cut has to handle."""

from pathlib import Path

import pytest
from support.display_matrix import QUARTER_TURN, write_orientation

from nep.video.tools import run_ffmpeg

QUIET = ["-nostdin", "-v", "error", "-y"]


def source(size: str, rate: int, seconds: float) -> list[str]:
    return [*QUIET, "-f", "lavfi", "-i", f"testsrc2=size={size}:rate={rate}:duration={seconds}"]


@pytest.fixture(scope="session")
def videos(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("videos")
    x264 = ["-c:v", "libx264", "-preset", "veryfast", "-threads", "1"]
    recipes = {
        "cfr.mp4": [*source("64x48", 30, 3), *x264, "-pix_fmt", "yuv420p", "-bf", "0", "-g", "12"],
        "b_frames.mp4": [*source("64x48", 24, 3), *x264, "-pix_fmt", "yuv420p", "-bf", "3", "-g", "48"],
        "ntsc.mkv": [*source("64x48", 30, 2), "-r", "30000/1001", *x264, "-pix_fmt", "yuv420p"],
        "vfr.mkv": [
            *source("64x48", 30, 3),
            *("-vf", "select='not(eq(mod(n,5),2))*not(eq(mod(n,7),3))'", "-fps_mode", "passthrough"),
            *(*x264, "-pix_fmt", "yuv420p", "-bf", "2"),
        ],
        "odd.mp4": [*source("67x45", 15, 2), *x264, "-pix_fmt", "yuv444p"],
        "late_start.ts": [*source("64x48", 25, 2), *x264, "-pix_fmt", "yuv420p", "-output_ts_offset", "7"],
        "mpeg4.avi": [*source("64x48", 12, 3), "-c:v", "mpeg4", "-q:v", "3", "-bf", "2", "-threads", "1"],
        "rotated.mp4": [*source("128x96", 20, 2), *x264, "-pix_fmt", "yuv420p"],
        "with_audio.mp4": [
            *(*source("64x48", 20, 2), "-f", "lavfi", "-i", "sine=duration=2"),
            *(*x264, "-pix_fmt", "yuv420p", "-c:a", "aac"),
        ],
        "aac.mkv": [
            *(*source("64x48", 20, 2), "-f", "lavfi", "-i", "sine=duration=2"),
            *("-c:v", "mpeg4", "-c:a", "aac", "-output_ts_offset", "3"),
        ],
        "bt709.mp4": [
            *(*source("64x48", 20, 2), *x264, "-pix_fmt", "yuv420p", "-g", "20", "-color_range", "tv"),
            *("-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709", "-aspect", "16:9"),
        ],
        "bt709_10.mp4": [
            *(*source("64x48", 20, 2), *x264, "-pix_fmt", "yuv420p10le", "-color_range", "tv"),
            *("-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709", "-aspect", "16:9"),
        ],
    }
    made = {}
    for name, arguments in recipes.items():
        made[name] = folder / name
        run_ffmpeg([*arguments, str(made[name])])
    write_orientation(made["rotated.mp4"], QUARTER_TURN, (128, 96))
    return made
