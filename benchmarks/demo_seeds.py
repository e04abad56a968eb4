"""Run the whole demo with several seeds, one after the other, and record figures, time, CPU-seconds and memory.

    PYTHONPATH=scripts .venv/bin/python benchmarks/demo_seeds.py --seeds 0 1 2 --processor avx2

writes `benchmarks/results/demo_seeds.json` and prints its table, which the README shows; `--show` prints it again. Runs
of other seeds and processors stay recorded where commit and machine are the same. `avx2` has torch, oneDNN and MKL take
the processor for one without AVX-512 and bfloat16 instructions. Seeds differ in everything that draws: the toy world,
the base model, the training, the rollouts. CPU-seconds are those of Snakemake and all its jobs; Snakemake's own
sampling shares them out to the rules. Memory is the largest sum of PSS over all processes, looked at once a second.
"""

import argparse
import csv
import os
import resource
import shutil
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import psutil
import yaml

from measure import RESULTS, ROOT, commit, machine
from nep.files import read_json, write_json
from nep.report.tables import OVERALL
from nep.report.terminal import read_results

CONFIG = ROOT / "config/config.yaml"
RESULT = RESULTS / "demo_seeds.json"
KEPT = ("stage", "variant", "split", "n", "accuracy", "ci_low", "ci_high")
COLUMNS = {
    "base": ("base", "reason"),
    "SFT": ("sft", "reason"),
    "GRPO": ("grpo", "reason"),
    "GRPO, frames shuffled": ("grpo", "reason_shuffled_frames"),
}
PROCESSORS = {
    "native": {},
    "avx2": {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"},
}
SCHEDULER = "snakemake"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--processor", choices=PROCESSORS, default="native", help="instructions that torch may use")
    parser.add_argument("--show", action="store_true", help="print the table of the recorded runs, and run nothing")
    arguments = parser.parse_args()
    if not arguments.show:
        for seed in arguments.seeds:
            record(run_demo(seed, arguments.processor))
    print(table(read_json(RESULT)))


def record(run: dict[str, Any]) -> None:
    """Put a run beside the others that the same commit gave on the same machine."""
    place = {"machine": machine(), "commit": commit()}
    recorded = read_json(RESULT) if RESULT.is_file() else {"runs": []}
    same = all(recorded.get(key) == value for key, value in place.items())
    others = [other for other in recorded["runs"] if same and identity(other) != identity(run)]
    write_json(RESULT, {**place, "runs": sorted([*others, run], key=identity)})


def identity(run: dict[str, Any]) -> tuple[str, int]:
    """What tells the runs of one commit and machine apart."""
    return run["processor"], run["seed"]


def run_demo(seed: int, processor: str) -> dict[str, Any]:
    """The demo from nothing, as `config/config.yaml` says but for the seed; raises CalledProcessError if it fails."""
    name = f"demo-{processor}-seed{seed}"
    folder = ROOT / "results" / name
    shutil.rmtree(folder, ignore_errors=True)
    config = ROOT / "results" / f"{name}.yaml"
    config.write_text(yaml.safe_dump(seeded(name, seed), sort_keys=False), encoding="utf-8")
    command = [str(Path(sys.executable).with_name("snakemake")), "--profile", "profiles/local", "--configfile", config]
    before, start = cpu_seconds(), time.monotonic()
    with subprocess.Popen(command, cwd=ROOT, env={**os.environ, **PROCESSORS[processor]}) as process:
        peak = peak_memory(process)
    seconds, used = time.monotonic() - start, cpu_seconds() - before
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    rows = read_results(folder / "report/results.csv")
    return {
        "seed": seed,
        "processor": processor,
        "seconds": round(seconds),
        "cpu_seconds": round(used),
        "cpu_seconds_by_rule": shared_out(used, folder / "benchmarks"),
        "peak_gib": round(peak / 2**30, 2),
        "results": [{key: row[key] for key in KEPT} for row in rows if not row["variant"].endswith("_legacy")],
    }


def seeded(name: str, seed: int) -> dict[str, Any]:
    """The demo's configuration for a run of this name and seed."""
    values = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    values.update(run=name, seed=seed)
    for block, folder in (("source", "hub"), ("model", "tiny_model")):
        values[block]["path"] = f"results/{name}/{folder}"
    return values


def cpu_seconds() -> float:
    """CPU-seconds of all child processes that have ended, and of theirs."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def shared_out(total: float, benchmarks: Path) -> dict[str, float]:
    """CPU-seconds by rule, the largest first, from Snakemake's benchmark files; the rest of `total` is Snakemake's own,
    with what its sampling missed of short jobs."""
    sums: dict[str, float] = defaultdict(float)
    for path in sorted(benchmarks.rglob("*.tsv")):
        with path.open(newline="", encoding="utf-8") as lines:
            rule = path.relative_to(benchmarks).parts[0].removesuffix(".tsv")
            sums[rule] += sum(float(row["cpu_time"]) for row in csv.DictReader(lines, delimiter="\t"))
    sums[SCHEDULER] = total - sum(sums.values())
    return {rule: round(value, 1) for rule, value in sorted(sums.items(), key=lambda item: -item[1])}


def peak_memory(process: subprocess.Popen) -> int:
    """Largest sum of PSS in bytes over a process and all below it, until it ends."""
    peak = 0
    root = psutil.Process(process.pid)
    while process.poll() is None:
        total = 0
        for member in (root, *root.children(recursive=True)):
            try:
                total += member.memory_full_info().pss
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        peak = max(peak, total)
        time.sleep(1)
    return peak


def accuracy(row: dict[str, str]) -> str:
    """Percent, and the interval."""
    return "{:.1f} [{:.1f}–{:.1f}]".format(*(float(row[key]) for key in ("accuracy", "ci_low", "ci_high")))


def table(recorded: dict[str, Any]) -> str:
    """The runs as a Markdown table: accuracy in percent with its 95 % interval, seconds, CPU-seconds, GiB."""
    lines = [["instructions", "seed", *COLUMNS, "seconds", "CPU-seconds", "GiB"], ["---"] * (len(COLUMNS) + 5)]
    for run in recorded["runs"]:
        scores = {(row["stage"], row["variant"]): row for row in run["results"] if row["split"] == OVERALL}
        cells = [accuracy(scores[key]) for key in COLUMNS.values()]
        costs = [str(run["seconds"]), str(run["cpu_seconds"]), f"{run['peak_gib']:.1f}"]
        lines.append([run["processor"], str(run["seed"]), *cells, *costs])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    main()
