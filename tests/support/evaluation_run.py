"""Parts of a small run folder for evaluation: real clips and questions about them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
from support.rows import asked

from nep.files import write_json
from nep.rows.base import write_rows
from nep.rows.question import AskedQuestion

SIZE = 56


def write_clip(
    path: Path, frames: int, level: Callable[[int], int] = lambda number: 20 + 6 * number, forgetful: bool = False
) -> None:
    """H.264 whose frame `k` is uniform grey of `level(k)`, at 12 frames a second.

    It has B-frames; `forgetful`: no frame depends on later ones, nor does how it is coded.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        options = {"crf": "10", "bf": "0" if forgetful else "2", "g": "8", "threads": "1"}
        if forgetful:
            options["x264-params"] = "rc-lookahead=0:mbtree=0:scenecut=0"
        stream = container.add_stream("libx264", rate=12, options=options)
        stream.width = stream.height = SIZE
        stream.pix_fmt = "yuv420p"
        for number in range(frames):
            image = np.full((SIZE, SIZE, 3), level(number), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))


def question(number: int, **changes: Any) -> AskedQuestion:
    """Row of futurebench.jsonl; two questions share a video."""
    values = {
        "video_id": f"v{number // 2}",
        "kind": ("hop1", "hop2", "hop3", "interpolation")[number % 4],
        "answer": "ABCD"[number % 4],
        "video": f"segments/first/v{number // 2}.mp4",
    }
    return asked(f"q{number}", **{**values, **changes})


def write_run(run: Path, frames: tuple[int, int]) -> Path:
    """A run's folder: two clips of so many frames, four questions about them, the manifest of a base model."""
    for number, count in enumerate(frames):
        write_clip(run / f"segments/first/v{number}.mp4", count)
    write_rows(run / "convert/futurebench.jsonl", [question(number) for number in range(4)])
    write_json(run / "models/base.manifest.json", {"fingerprint": "0" * 64, "files": {}, "parameters": 1})
    return run
