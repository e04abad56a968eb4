"""DeepSpeed's checkpoint files, written by a thread while training goes on."""

import io
import os
import pickle
import shutil
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor, nn

from nep.errors import InputError


class BackgroundWriter:
    """`save`, in the place of that of DeepSpeed's checkpoint engine, copies a state to host memory; a thread writes it
    to disk.

    The memory, as much as this process's files hold, is kept for the next checkpoint: the kernel would clear new pages,
    which takes longer than the copy (`benchmarks/checkpoint_copy.py`).
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self._files: list[Future[None]] = []
        # Of files that are written, by their name, which is the same in each checkpoint.
        self._free: dict[str, HostMemory] = {}

    def save(self, state_dict: dict[str, Any], path: str) -> None:
        """Take the state as it is now; the file comes later."""
        file = Path(path)
        memory = self._free.pop(file.name, None) or HostMemory()
        self._files.append(self._thread.submit(self._write, file, memory, memory.take(state_dict)))

    def _write(self, file: Path, memory: "HostMemory", pickled: bytes) -> None:
        try:
            write_file(file, memory.state(pickled))
        finally:
            self._free[file.name] = memory

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


class HostMemory:
    """The tensors of one state, copied to host memory that serves again for the next state of the same sizes."""

    def __init__(self) -> None:
        self._storages: list[torch.UntypedStorage] = []
        self._tensors: list[Tensor] = []

    def take(self, state: dict[str, Any]) -> bytes:
        """Copy the state's tensors, and return all else of it, pickled; tensors that share storage go on to do so."""
        pickled = io.BytesIO()
        pickler = _Pickler(pickled, self._storages)
        pickler.dump(state)
        self._tensors = pickler.copies
        return pickled.getvalue()

    def state(self, pickled: bytes) -> dict[str, Any]:
        """The state that `take` has returned the rest of, on the host."""
        return _Unpickler(io.BytesIO(pickled), self._tensors).load()


class _Pickler(pickle.Pickler):
    """Pickles a number in the place of each tensor, whose copy is `copies[number]`."""

    def __init__(self, stream: BinaryIO, storages: list[torch.UntypedStorage]) -> None:
        super().__init__(stream, pickle.HIGHEST_PROTOCOL)
        self.copies: list[Tensor] = []
        self._storages = storages
        # The tensors are kept until all are copied, so that no address occurs twice.
        self._seen: dict[int, tuple[Tensor, int]] = {}
        self._copied: dict[tuple[int, int], torch.UntypedStorage] = {}

    def persistent_id(self, obj: Any) -> int | None:
        """The number of a tensor; None of anything else."""
        if not isinstance(obj, Tensor):
            return None
        if id(obj) not in self._seen:
            self._seen[id(obj)] = obj, len(self.copies)
            self.copies.append(self._copy(obj))
        return self._seen[id(obj)][1]

    def _copy(self, tensor: Tensor) -> Tensor:
        place = tensor.storage_offset(), tensor.size(), tensor.stride()
        copy = torch.empty(0, dtype=tensor.dtype).set_(self._storage(tensor.untyped_storage()), *place)
        if isinstance(tensor, nn.Parameter):
            return nn.Parameter(copy, tensor.requires_grad)
        return copy.requires_grad_(tensor.requires_grad)

    def _storage(self, source: torch.UntypedStorage) -> torch.UntypedStorage:
        place = source.data_ptr(), source.nbytes()
        if place not in self._copied:
            index = len(self._copied)
            if index == len(self._storages) or self._storages[index].nbytes() != source.nbytes():
                self._storages[index:] = [torch.UntypedStorage(source.nbytes())]
            self._copied[place] = self._storages[index].copy_(source)
        return self._copied[place]


class _Unpickler(pickle.Unpickler):
    def __init__(self, stream: BinaryIO, copies: list[Tensor]) -> None:
        super().__init__(stream)
        self._copies = copies

    def persistent_load(self, pid: int) -> Tensor:
        return self._copies[pid]


def write_file(path: Path, state: dict[str, Any]) -> None:
    """Write a state to the disk itself. Raises InputError with the bytes that are needed and free where it is full."""
    with path.open("wb", buffering=0) as stream:
        sink = _Sink(stream)
        torch.save(state, sink)
    if sink.error:
        free = shutil.disk_usage(path.parent).free
        raise InputError(
            f"{path}: checkpoint not written ({sink.error.strerror}): the file needs {sink.size} bytes, {free} are free"
        )


class _Sink:
    """A file for `torch.save`, which has no way to go on from an error of the disk: what comes after one is counted."""

    def __init__(self, stream: io.FileIO) -> None:
        self._stream = stream
        self.size = 0
        self.error: OSError | None = None

    def write(self, data: memoryview) -> int:
        """Write all of `data`, where nothing has gone wrong before."""
        self.size += len(data)
        written = 0
        try:
            while written < len(data) and not self.error:
                written += self._stream.write(data[written:])
        except OSError as error:
            self.error = error
        return len(data)

    def flush(self) -> None:
        """Bring the file to the disk; `torch.save` calls it at the end."""
        try:
            os.fsync(self._stream.fileno())
        except OSError as error:
            self.error = self.error or error
