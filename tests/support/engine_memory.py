"""Bytes that DeepSpeed holds in each of several processes, by the entry of the memory table that names them."""

import os
from pathlib import Path

from support.entry_points import ROOT
from support.fork_server import start_fork_server
from support.training_process import finish, free_port

from nep.config.sft import Sft
from nep.files import read_json, write_json


def held(model: Path, stages: list[int], size: int, folder: Path) -> dict[int, list[dict[str, int]]]:
    """Stage → for each of `size` processes, its bytes after a step. What it wrote then, see `checkpoint_bytes`."""
    context = start_fork_server()
    port = free_port()
    processes = [
        context.Process(target=_measure, args=(model, stages, rank, size, port, folder)) for rank in range(size)
    ]
    for process in processes:
        process.start()
    if finish(processes) != [0] * size:
        raise RuntimeError(f"the processes ended in {[process.exitcode for process in processes]}")
    return {stage: [read_json(folder / f"{stage}-{rank}.json") for rank in range(size)] for stage in stages}


def checkpoint_bytes(stage: int, folder: Path) -> int:
    """Bytes of all files of the checkpoint that the processes of `stage` wrote."""
    return sum(path.stat().st_size for path in (folder / f"checkpoints-{stage}/step-1").rglob("*") if path.is_file())


def _measure(model: Path, stages: list[int], rank: int, size: int, port: int, folder: Path) -> None:
    import torch

    from nep.train.checkpoint import Checkpoints
    from nep.train.distributed import start_distributed
    from nep.train.engine import Engine

    os.chdir(ROOT)
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(size))
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    distributed = start_distributed(threads=1)
    tokens = torch.arange(20, 28)[None]
    for stage in stages:
        training = Sft(precision="bf16", deepspeed=f"config/deepspeed/zero{stage}.json")
        engine = Engine(model, training, distributed, seed=0)
        scores = engine.deepspeed({"input_ids": tokens}, torch.arange(7), tokens[0, 1:])
        engine.accumulate(-scores.sum(), last=True)
        engine.step(rate=1e-3)
        optimizer = engine.deepspeed.optimizer
        partitions = "fp32_partitioned_groups_flat" if stage == 3 else "single_partition_of_fp32_groups"
        moments = [value for entry in optimizer.optimizer.state.values() for value in entry.values()]
        found = {
            "weights": [getattr(weight, "ds_tensor", weight) for weight in engine.model.parameters()],
            "master weights": getattr(optimizer, partitions),
            # Without the counts of steps.
            "optimizer states": [value for value in moments if value.numel() > 1],
        }
        sizes = {name: sum(tensor.nbytes for tensor in tensors) for name, tensors in found.items()}
        write_json(folder / f"{stage}-{rank}.json", sizes)
        Checkpoints(folder / f"checkpoints-{stage}", engine, "loss", "lowest").after_step(1, 1)
