"""The processes of a training run: one without a launcher, n under torchrun; gloo on the CPU, nccl on CUDA."""

import ctypes
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from types import ModuleType

import torch
import torch.distributed as dist
from transformers.utils.logging import disable_progress_bar

from nep.workflow.device import on_cuda, trains_on_cuda

# Of malloc.h, glibc.
M_MMAP_MAX, M_TRIM_THRESHOLD = -4, -1
NEVER = -1
# How long the processes wait for one that converts a checkpoint, writes a model or reads one from a slow disk: at
# 80 MB/s, 900 GB of a 72B model take three hours. A process that dies ends the others by way of the launcher.
HOST_TIMEOUT = timedelta(hours=6)


@dataclass(frozen=True)
class DistributedContext:
    """This process's rank among all of them, and its device.

    Values and waits of the host go through gloo, under `HOST_TIMEOUT`: NCCL gives up after ten minutes.
    """

    rank: int
    size: int
    device: torch.device

    @property
    def is_main_process(self) -> bool:
        """Whether this process writes files and shows progress."""
        return self.rank == 0

    def all_reduce_sum(self, values: Sequence[float]) -> list[float]:
        """Element-wise sum of `values` over all processes, in fp64."""
        summed = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(summed, group=host_group())
        return summed.tolist()

    def all_reduce_max(self, value: int) -> int:
        """The largest `value` of all processes."""
        found = torch.tensor(value)
        dist.all_reduce(found, op=dist.ReduceOp.MAX, group=host_group())
        return int(found)

    def of_all(self, value: float) -> list[float]:
        """The `value` of each process, by rank."""
        found = [0.0] * self.size
        found[self.rank] = value
        return self.all_reduce_sum(found)

    def barrier(self) -> None:
        """Wait until every process is here."""
        dist.barrier(group=host_group())


@cache
def host_group() -> dist.ProcessGroup:
    """All processes, by gloo. The first call is collective."""
    return dist.new_group(backend="gloo", timeout=HOST_TIMEOUT)


def start_distributed(threads: int) -> DistributedContext:
    """Join the process group, and make torch deterministic with `threads` CPU threads.

    Raises InputError where the job has GPUs and CUDA, or the compiler that Triton needs there, cannot be used.
    """
    torch.set_num_threads(threads)
    disable_progress_bar()
    cuda = trains_on_cuda()
    _make_deterministic(cuda)
    deepspeed = import_deepspeed()
    if "RANK" not in os.environ:
        _describe_single_process()
    device = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if cuda else torch.device("cpu")
    if cuda:
        # First: whatever comes next, DeepSpeed's own collectives too, takes the current device.
        torch.cuda.set_device(device)
    else:
        _keep_freed_memory()
    if not dist.is_initialized():
        _join(alone=os.environ["WORLD_SIZE"] == "1", backend="nccl" if cuda else "gloo")
    deepspeed.init_distributed(dist_backend="nccl" if cuda else "gloo", auto_mpi_discovery=False)
    host_group()
    return DistributedContext(rank=dist.get_rank(), size=dist.get_world_size(), device=device)


def _keep_freed_memory() -> None:
    """Have the C library reuse the memory of freed tensors: from the kernel, each page would be cleared every time."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(M_MMAP_MAX, 0)
        libc.mallopt(M_TRIM_THRESHOLD, NEVER)


def import_deepspeed() -> ModuleType:
    """DeepSpeed, told its device and, on a CPU, kept from compiling its shared-memory op at start-up."""
    on_cpu = not on_cuda()
    if on_cpu:
        os.environ.setdefault("DS_ACCELERATOR", "cpu")
    import deepspeed
    import deepspeed.ops
    from deepspeed.utils import logger

    if on_cpu:
        # Not on CUDA, which has no such op: the table is made by trying to build all ops there are.
        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    _import_muon_uncompiled()
    logger.setLevel(logging.WARNING)
    return deepspeed


def _import_muon_uncompiled() -> None:
    """Have DeepSpeed's Muon at hand, as it asks of each optimizer whether it is one, without torch's compiler, whose
    import takes two seconds: no training here uses it."""
    from deepspeed.runtime import compiler

    compiles = compiler.compile
    compiler.compile = lambda: lambda function: function
    try:
        import deepspeed.runtime.zero.muon.muon_optimizer  # noqa: F401
    finally:
        compiler.compile = compiles


def _make_deterministic(cuda: bool) -> None:
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # On CUDA some backward kernels have no deterministic form; there the difference is reported, not refused.
    torch.use_deterministic_algorithms(True, warn_only=cuda)
    # Filling would touch every page of DeepSpeed's communication buffers, which are larger than a small model.
    torch.utils.deterministic.fill_uninitialized_memory = False


def _describe_single_process() -> None:
    os.environ.update(RANK="0", WORLD_SIZE="1", LOCAL_RANK="0")


def _join(alone: bool, backend: str) -> None:
    if alone:
        # A store in memory needs no port, so that runs beside each other cannot collide.
        dist.init_process_group(backend, store=dist.HashStore(), rank=0, world_size=1)
    else:
        dist.init_process_group(backend)
