"""What the benchmarks share: CPU time and memory of a call in a process of its own, candidates in turn, the machine."""

import multiprocessing
import os
import platform
import resource
import statistics
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from nep.files import write_json

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks/results"
WORK = ROOT / "benchmarks/work"


@dataclass(frozen=True)
class Cost:
    """CPU seconds (user + system, of the process and its children) of a call; peak RSS in bytes of the largest."""

    cpu_s: float
    peak_rss: int


def cost_of(call: Callable[[], Any], warm_up: Callable[[], Any] | None = None) -> Cost:
    """Run `call` (picklable) in a fresh process; `warm_up` runs there before it and is not counted (imports)."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_measured, args=(call, warm_up, sender))
    process.start()
    sender.close()
    try:
        cost = receiver.recv()
    except EOFError:
        raise RuntimeError(f"{call}: the process ended without a result") from None
    finally:
        process.join()
    return cost


def interleaved(
    candidates: Mapping[str, Callable[[], Any]], rounds: int, warm_up: Callable[[], Any] | None = None
) -> dict[str, list[Cost]]:
    """Costs by candidate: each once a round, all in turn, so that a drifting machine meets them alike."""
    costs: dict[str, list[Cost]] = {name: [] for name in candidates}
    for _ in range(rounds):
        for name, call in candidates.items():
            costs[name].append(cost_of(call, warm_up))
    return costs


def median_cpu(costs: list[Cost]) -> float:
    """Median of the CPU seconds."""
    return statistics.median(cost.cpu_s for cost in costs)


def write_result(name: str, result: dict[str, Any]) -> Path:
    """Write `benchmarks/results/<name>.json`: `result` with the machine and the commit."""
    path = RESULTS / f"{name}.json"
    write_json(path, {"machine": machine(), "commit": commit(), **result})
    return path


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    models = [
        line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line
    ]
    return {
        "processor": models[0] if models else platform.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def commit() -> str:
    """The commit that ran; `+` where files differ from it."""
    changed = _git("status", "--porcelain", ":!benchmarks/results")
    return _git("rev-parse", "HEAD").strip() + ("+" if changed else "")


def _git(*words: str) -> str:
    return subprocess.run(["git", "-C", str(ROOT), *words], check=True, capture_output=True, text=True).stdout


def _measured(call: Callable[[], Any], warm_up: Callable[[], Any] | None, sender: Any) -> None:
    if warm_up is not None:
        warm_up()
    before = _cpu_seconds()
    call()
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    peak = max(resource.getrusage(kind).ru_maxrss for kind in kinds) * 1024
    sender.send(Cost(_cpu_seconds() - before, peak))


def _cpu_seconds() -> float:
    usages = [resource.getrusage(kind) for kind in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)
