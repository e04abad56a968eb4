"""H.264 videos of many reference structures, in moving noise: a picture made of a wrong reference looks different."""

from collections.abc import Sequence
from pathlib import Path

from nep.video.tools import run_ffmpeg

QUIET = ("-nostdin", "-v", "error", "-y")
SECONDS = 4
PICTURE = "testsrc2=size=112x80:rate={rate}:duration={seconds},noise=alls=12:allf=t"


def x264(*params: str, pixels: str = "yuv420p") -> list[str]:
    """Options of an H.264 encode with GOPs of 24 frames, `params` in x264's own names."""
    joined = ":".join(["threads=1", "keyint=24", "min-keyint=4", *params])
    return ["-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", pixels, "-x264-params", joined]


SELECTED: dict[str, Sequence[str]] = {
    "closed.mp4": x264("bframes=3"),
    "open_gop.mp4": x264("bframes=3", "open-gop=1"),
    "pyramid_one_reference.mp4": [*x264("bframes=6", "b-adapt=0", "ref=1"), "-movflags", "+faststart"],
    "pyramid_many_references.mkv": x264("bframes=6", "b-adapt=0", "ref=5", "weightp=2"),
    "strict_pyramid.mov": x264("bframes=4", "b-pyramid=strict", "direct=temporal", "ref=3"),
    "baseline.mp4": [*x264("bframes=0", "ref=3"), "-profile:v", "baseline"],
    "no_cabac.mp4": x264("cabac=0", "bframes=2"),
    "ten_bits.mp4": x264("bframes=3", "b-adapt=0", pixels="yuv420p10le"),
    "full_chroma.mkv": x264("bframes=3", "b-adapt=0", pixels="yuv444p"),
    "interlaced.mp4": x264("bframes=3", "b-adapt=0", "tff=1"),
    "slices.mp4": x264("slices=4", "bframes=3"),
    "one_keyframe.mp4": x264("keyint=9999", "bframes=3", "b-adapt=0"),
    "intra_refresh.mp4": x264("keyint=12", "intra-refresh=1", "bframes=2"),
    "transport.ts": x264("bframes=3"),
    "lossless.mp4": x264("qp=0", "bframes=3"),
}


def make_kinds(folder: Path) -> dict[str, Path]:
    """One file a kind; those without an entry above are made of others."""
    made = {name: folder / name for name in (*SELECTED, "edit_list.mp4", "changing_sets.ts", "changing_sets.mkv")}
    for name, options in SELECTED.items():
        encode(made[name], options)
    # An edit list hides the frames between the keyframe and the start; their time stamps are negative.
    remux(made["closed.mp4"], made["edit_list.mp4"], before=["-ss", "1.3"])
    join(made["pyramid_one_reference.mp4"], made["pyramid_many_references.mkv"], made["changing_sets.ts"])
    remux(made["changing_sets.ts"], made["changing_sets.mkv"])
    return made


def encode(path: Path, options: Sequence[str], rate: int = 24, seconds: float = SECONDS) -> None:
    """Encode the moving test picture."""
    source = PICTURE.format(rate=rate, seconds=seconds)
    run_ffmpeg([*QUIET, "-f", "lavfi", "-i", source, *options, str(path)])


def remux(source: Path, target: Path, before: Sequence[str] = ()) -> None:
    """Copy the packets into another container."""
    run_ffmpeg([*QUIET, *before, "-i", str(source), "-c", "copy", str(target)])


def join(first: Path, second: Path, target: Path) -> None:
    """One stream of the packets of two: parameter sets of one number, with unequal contents, come and go in it."""
    parts = []
    for number, path in enumerate((first, second, first)):
        part = target.with_name(f"{target.stem}-{number}.ts")
        remux(path, part)
        parts.append(part)
    listed = target.with_suffix(".txt")
    listed.write_text("".join(f"file '{part}'\n" for part in parts))
    run_ffmpeg([*QUIET, "-f", "concat", "-safe", "0", "-i", str(listed), "-c", "copy", str(target)])
