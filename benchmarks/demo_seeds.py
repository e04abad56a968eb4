"""Run the whole demo with several seeds, one after the other, and record figures, wall time and memory.

    PYTHONPATH=scripts .venv/bin/python benchmarks/demo_seeds.py --seeds 0 1 2

writes `benchmarks/results/demo_seeds.json` and prints its table, which the README shows; `--show` prints it again. Runs
of other seeds stay recorded where commit and machine are the same. Seeds differ in everything that draws: the made-up
world, the base model, the training, the rollouts. Memory is the largest sum of PSS over Snakemake and all processes
below it, looked at once a second.
"""

import argparse
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import yaml

from measure import RESULTS, ROOT, commit, machine
from nep.files import read_json, write_json
from nep.report.results_table import OVERALL
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--show", action="store_true", help="print the table of the recorded runs, and run nothing")
    parser.add_argument(
        "--keep", action="store_true", help="go on from what is there of a seed's run; costs do not count"
    )
    arguments = parser.parse_args()
    if not arguments.show:
        for seed in arguments.seeds:
            record(run_demo(seed, arguments.keep))
    print(table(read_json(RESULT)))


def record(run: dict[str, Any]) -> None:
    """Put a run beside those of other seeds that the same commit gave on the same machine."""
    place = {"machine": machine(), "commit": commit()}
    recorded = read_json(RESULT) if RESULT.is_file() else {"runs": []}
    others = [other for other in recorded["runs"] if other["seed"] != run["seed"]]
    same = all(recorded.get(key) == value for key, value in place.items())
    runs = sorted([*(others if same else []), run], key=lambda each: each["seed"])
    write_json(RESULT, {**place, "runs": runs})


def run_demo(seed: int, keep: bool) -> dict[str, Any]:
    """The demo as `config/config.yaml` says but for the seed; raises CalledProcessError if it fails.

    From nothing, or, with `keep`, from what is there: then it is not known what the whole run costs.
    """
    name = f"demo-seed{seed}"
    if not keep:
        shutil.rmtree(ROOT / "results" / name, ignore_errors=True)
    values = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    values.update(run=name, seed=seed)
    for block, folder in (("source", "hub"), ("model", "tiny_model")):
        values[block]["path"] = f"results/{name}/{folder}"
    config = ROOT / "results" / f"{name}.yaml"
    config.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    command = [str(Path(sys.executable).with_name("snakemake")), "--profile", "profiles/local", "--configfile", config]
    start = time.monotonic()
    with subprocess.Popen(command, cwd=ROOT) as process:
        peak = peak_memory(process)
    seconds = time.monotonic() - start
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    rows = read_results(ROOT / "results" / name / "report/results.csv")
    return {
        "seed": seed,
        "seconds": None if keep else round(seconds),
        "peak_gib": None if keep else round(peak / 2**30, 2),
        "results": [{key: row[key] for key in KEPT} for row in rows if not row["variant"].endswith("_legacy")],
    }


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
    """The runs as a Markdown table: accuracy in percent with its 95 % interval, minutes, GiB."""
    lines = [["seed", *COLUMNS, "minutes", "memory (GiB)"], ["---"] * (len(COLUMNS) + 3)]
    for run in recorded["runs"]:
        scores = {(row["stage"], row["variant"]): row for row in run["results"] if row["split"] == OVERALL}
        cells = [accuracy(scores[key]) for key in COLUMNS.values()]
        costs = [f"{run['seconds'] / 60:.1f}", f"{run['peak_gib']:.1f}"] if run["seconds"] else ["–", "–"]
        lines.append([str(run["seed"]), *cells, *costs])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    main()
