"""Clips at 720p, H.264 with B-frames: 30, 60 and 170 s with GOPs of 2, 3 and 5 s, made once from `mini_clips`."""

from dataclasses import dataclass
from pathlib import Path

from measure import WORK
from mini_clips import REAL, extract
from nep.video.tools import run_ffmpeg

# Joined and repeated until the length is reached.
SOURCES = ("youtube/three cups.mp4", "activitynet/v_juggle.mp4", "youcook2/pour_over.mp4")
FPS = 30


@dataclass(frozen=True)
class ClipKind:
    """Length of a clip and distance of its keyframes, in seconds."""

    seconds: int
    gop_seconds: int


KINDS = {"30 s": ClipKind(30, 2), "60 s": ClipKind(60, 3), "170 s": ClipKind(170, 5)}


def content() -> str:
    """What the clips show: figures of generated ones are not those of real ones."""
    return "real" if REAL.is_dir() else "generated"


def make_clips() -> dict[str, Path]:
    """Paths by name ("30 s", "60 s", "170 s"); made below `benchmarks/work/clips/<content>` where they are missing."""
    folder = WORK / "clips" / content()
    folder.mkdir(parents=True, exist_ok=True)
    return {name: _clip(folder, kind) for name, kind in KINDS.items()}


def _clip(folder: Path, kind: ClipKind) -> Path:
    path = folder / f"{kind.seconds}s.mp4"
    if path.is_file():
        return path
    extracted = extract(folder)
    sources = [extracted / name for name in SOURCES]
    inputs = [word for source in sources for word in ("-i", str(source))]
    scaled = ";".join(
        f"[{number}:v]fps={FPS},scale=1280:720:force_original_aspect_ratio=increase,crop=1280:720,setsar=1[v{number}]"
        for number in range(len(sources))
    )
    joined = "".join(f"[v{number}]" for number in range(len(sources)))
    # The joined clips are repeated as often as needed; `loop` holds them in memory.
    graph = f"{scaled};{joined}concat=n={len(sources)}:v=1:a=0,loop=loop=-1:size=900[out]"
    partial = folder / f"partial-{path.name}"
    keyint = str(kind.gop_seconds * FPS)
    run_ffmpeg(
        [
            *("-nostdin", "-v", "error", "-y", *inputs, "-filter_complex", graph, "-map", "[out]"),
            *("-t", str(kind.seconds), "-c:v", "libx264", "-preset", "veryfast", "-crf", "23", "-pix_fmt", "yuv420p"),
            *("-bf", "3", "-g", keyint, "-keyint_min", keyint, "-sc_threshold", "0", "-threads", "2", str(partial)),
        ]
    )
    return partial.replace(path)
