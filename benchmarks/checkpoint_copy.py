"""How long a training stands still for a checkpoint: the writer's copy against `torch.save` to memory.

    PYTHONPATH=scripts .venv/bin/python benchmarks/checkpoint_copy.py

The state is that of AdamW on one process: fp32 weights and two moments, `GIB` in all. The first copy takes new memory,
those after it use it again. Writing to the disk, which a thread does meanwhile, is not counted. CPU seconds of the
thread, as the machine may be shared, and seconds on the clock. Writes `benchmarks/results/checkpoint_copy.json`.
"""

import argparse
import io
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from measure import write_result
from nep.train.runtime.checkpoint_writer import BackgroundWriter

GIB = 0.75
TENSORS = 24
FLOAT_BYTES = 4


def main() -> None:
    """Measure both in turn, and write medians and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    numbers = int(GIB * 2**30 / FLOAT_BYTES / TENSORS)
    state = {name: [torch.randn(numbers) for _ in range(TENSORS // 3)] for name in ("weights", "means", "squares")}
    measured: dict[str, list[dict[str, float]]] = {"torch_save": [], "first_copy": [], "copy": []}
    with tempfile.TemporaryDirectory() as folder:
        writer, path = BackgroundWriter(), str(Path(folder) / "state.pt")
        for number in range(options.rounds + 1):
            measured["copy" if number else "first_copy"].append(seconds(lambda: writer.save(state, path)))
            writer.wait()
            if error := writer.error():
                raise error
            if number:
                measured["torch_save"].append(seconds(lambda: torch.save(state, io.BytesIO())))
    medians = {name: {clock: median(rows, clock) for clock in ("cpu_s", "wall_s")} for name, rows in measured.items()}
    ratios = {clock: medians["torch_save"][clock] / medians["copy"][clock] for clock in ("cpu_s", "wall_s")}
    result: dict[str, Any] = {"gib": GIB, "rounds": options.rounds, "medians": medians, "ratios": ratios}
    print(write_result("checkpoint_copy", {**result, "measured": measured}))
    print(ratios)


def seconds(call: Callable[[], Any]) -> dict[str, float]:
    """CPU seconds of this thread, and seconds on the clock."""
    cpu, wall = time.thread_time(), time.monotonic()
    call()
    return {"cpu_s": time.thread_time() - cpu, "wall_s": time.monotonic() - wall}


def median(rows: list[dict[str, float]], clock: str) -> float:
    """Median of one clock's seconds."""
    return statistics.median(row[clock] for row in rows)


if __name__ == "__main__":
    main()
