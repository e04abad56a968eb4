"""The ffmpeg program: where it is, and one run of it under a time limit."""

import re
import shutil
import subprocess
from collections.abc import Sequence
from functools import cache

import imageio_ffmpeg

from nep.errors import InputError

_POINTER = re.compile(r" @ 0x[0-9a-f]+")
_DETAIL_LINES = 3


class FfmpegError(Exception):
    """ffmpeg ended with a status other than 0; `signal` is the signal's number when one ended it."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(status, detail)
        self.status = status
        self.detail = detail

    @property
    def signal(self) -> int | None:
        """Number of the signal that ended the process, or None."""
        return -self.status if self.status < 0 else None


class FfmpegTimeoutError(Exception):
    """ffmpeg was still running at its time limit and has been killed."""


@cache
def find_ffmpeg() -> str:
    """Path of the system's ffmpeg, else of imageio-ffmpeg's. Raises InputError if there is none."""
    if found := shutil.which("ffmpeg"):
        return found
    try:
        return imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError as error:
        raise InputError(
            f"no ffmpeg: none on PATH, and imageio-ffmpeg has none for this platform ({error}); "
            "install ffmpeg (5.1 or newer) or set IMAGEIO_FFMPEG_EXE"
        ) from None


@cache
def ffmpeg_version() -> str:
    """First line of `ffmpeg -version`: encoders of different builds write different bytes."""
    shown = subprocess.run([find_ffmpeg(), "-version"], capture_output=True, text=True, check=True, timeout=60)
    return shown.stdout.splitlines()[0]


def run_ffmpeg(arguments: Sequence[str], timeout_s: float | None = None) -> None:
    """Run ffmpeg with `arguments` (program name excluded) for `timeout_s` seconds at most.

    Raises FfmpegError with the last lines of its log (free of addresses, so that equal failures are equal text), or
    FfmpegTimeoutError once the process has been killed.
    """
    try:
        done = subprocess.run(
            [find_ffmpeg(), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise FfmpegTimeoutError(f"ffmpeg did not end within {timeout_s:g} s") from None
    if done.returncode != 0:
        lines = _POINTER.sub("", done.stderr.decode("utf-8", "replace")).strip().splitlines()
        raise FfmpegError(done.returncode, " | ".join(lines[-_DETAIL_LINES:]))
