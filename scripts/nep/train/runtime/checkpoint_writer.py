"""DeepSpeed's checkpoint files, written by a thread while training goes on."""

import io
import os
import shutil
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch

from nep.errors import InputError


class BackgroundWriter:
    """`save`, in the place of that of DeepSpeed's checkpoint engine, copies a state to host memory, in the bytes of its
    file; a thread writes them to disk.

    The copy takes as much host memory as this process's files, until they are written.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self._files: list[Future[None]] = []

    def save(self, state_dict: dict[str, Any], path: str) -> None:
        """Take the state as it is now; the file comes later."""
        content = io.BytesIO()
        torch.save(state_dict, content)
        self._files.append(self._thread.submit(write_file, Path(path), content.getbuffer()))

    @property
    def is_busy(self) -> bool:
        """Whether files are still to be written."""
        return not all(file.done() for file in self._files)

    def wait(self) -> None:
        """Return when nothing is left to write, whether or not it went well."""
        for file in self._files:
            file.exception()

    def error(self) -> BaseException | None:
        """What went wrong with the files that are done; None for nothing. Forgets them when all are done."""
        failures = [file.exception() for file in self._files if file.done()]
        if not self.is_busy:
            self._files = []
        return next((failure for failure in failures if failure), None)


def write_file(path: Path, content: memoryview) -> None:
    """Write a file to the disk itself. Raises InputError with the bytes that are needed and free where it is full."""
    try:
        with path.open("wb", buffering=0) as stream:
            written = 0
            while written < len(content):
                written += stream.write(content[written:])
            os.fsync(stream.fileno())
    except OSError as error:
        free = shutil.disk_usage(path.parent).free
        raise InputError(
            f"{path}: checkpoint not written ({error.strerror}): the file needs {len(content)} bytes, {free} are free"
        ) from None
