"""Small clips for the vision cache."""

import os
from pathlib import Path

import pytest

from nep.video.tools import run_ffmpeg

# qwen_vl_utils reads it once; lmms-eval evaluates with decord.
os.environ["FORCE_QWENVL_VIDEO_READER"] = "decord"


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("clips")
    x264 = ["-c:v", "libx264", "-preset", "veryfast", "-threads", "1", "-bf", "2"]
    bt709 = ["-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709"]
    kinds = {
        "plain.mp4": ("128x96", 12, 2.5, [*x264, "-pix_fmt", "yuv420p"]),
        "bt709.mp4": ("160x90", 30, 1.1, [*x264, "-pix_fmt", "yuv420p", *bt709]),
        "full_range.mp4": ("96x128", 10, 3, [*x264, "-pix_fmt", "yuvj420p", "-color_range", "pc"]),
        "short.mp4": ("128x96", 12, 0.25, [*x264, "-pix_fmt", "yuv420p"]),
        "single.mp4": ("128x96", 12, 0.05, [*x264, "-pix_fmt", "yuv420p"]),
    }
    made = {}
    for name, (size, rate, seconds, options) in kinds.items():
        made[name] = folder / name
        picture = f"testsrc2=size={size}:rate={rate}:duration={seconds}"
        run_ffmpeg(["-v", "error", "-y", "-f", "lavfi", "-i", picture, *options, str(made[name])])
    return made
