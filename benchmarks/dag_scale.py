"""What Snakemake itself costs: seconds and memory of a plan against the number of shards and of experiments.

    PYTHONPATH=scripts .venv/bin/python benchmarks/dag_scale.py [--shards 16 512] [--experiments 1 40]

Two lines through 128 shards and 20 experiments, each of SFT and GRPO, evaluated with two variants on the real videos
and three controls. A point measures `snakemake -n` with nothing done (the plan), and `snakemake` with everything done
(nothing to do): processor seconds, wall seconds and peak RSS of the process. Everything is done by writing each output
as a file of 10 kB and having `snakemake --touch` note it, so that parameters and checksums are compared as after a real
run. Records are no jobs: what their number costs is measured by `data_scale.py`. Writes
`benchmarks/results/dag_scale.json`.
"""

import argparse
import csv
import json
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from measure import ROOT, WORK, write_result

SHARDS, EXPERIMENTS = 128, 20
PARTS = ("Snakefile", "rules", "scripts", "config", "profiles", "envs")
OUTPUT_BYTES = 10_000
ARCHIVES = [f"video_data_part{number}.tar.gz" for number in range(8)]
PLAN, NOTHING = "plan", "nothing to do"
LIMITS = {PLAN: 10.0, NOTHING: 15.0}
MEMORY_LIMIT_MIB = 500.0
DONE = "Nothing to be done"
TOTAL = re.compile(r"^total +(\d+)$", re.MULTILINE)


@dataclass(frozen=True)
class Cost:
    """Of one call of Snakemake: processor and wall seconds, peak RSS in MiB."""

    cpu_s: float
    wall_s: float
    rss_mib: float


@dataclass(frozen=True)
class Place:
    """A folder with the workflow, and a configuration of so many shards and experiments."""

    shards: int
    experiments: int

    @property
    def root(self) -> Path:
        """The working directory."""
        return WORK / f"dag-{self.shards}-{self.experiments}"

    def make(self) -> None:
        """Link the workflow, and write the configuration and the source that it names."""
        shutil.rmtree(self.root, ignore_errors=True)
        (self.root / "source").mkdir(parents=True)
        for part in PARTS:
            (self.root / part).symlink_to(ROOT / part)
        for name in ("next_event_prediction.json", "futurebench.json", *ARCHIVES):
            (self.root / "source" / name).write_text("[]")
        (self.root / "config.yaml").write_text(yaml.safe_dump(self.configuration(), sort_keys=False))

    def configuration(self) -> dict[str, Any]:
        """A folder as source and as model, and experiments that differ in their learning rate."""
        return {
            "run": "dag",
            "source": {"kind": "folder", "path": "source"},
            "model": {"kind": "folder", "path": "source"},
            "split": {"shards": self.shards},
            "encode": {"shards": self.shards},
            "experiments": {
                f"e{number}": {"sft": {"lr": 1e-5 * number}, "grpo": {"lr": 1e-6 * number}}
                for number in range(1, self.experiments + 1)
            },
            "evaluate": {"controls": ["shuffled_frames", "constant_frame", "text_only"]},
        }

    def finish(self) -> None:
        """Leave every output as a run does, with Snakemake's notes about it."""
        listing = self.root / "results/dag/download/archives.json"
        listing.parent.mkdir(parents=True)
        listing.write_text(json.dumps({"archives": [{"name": name} for name in ARCHIVES]}))
        self.snakemake("list_source", "--touch")
        self.snakemake("--summary")
        rows = csv.DictReader((self.root / "said.txt").read_text().splitlines(), delimiter="\t")
        for row in rows:
            file = self.root / row["output_file"]
            if not file.exists():
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(f"{file.name:{OUTPUT_BYTES}}")
        self.snakemake("--touch")

    def snakemake(self, *words: str) -> Cost:
        """Call Snakemake. What it says is in `said.txt`, progress and errors in `errors.txt`."""
        command = [
            sys.executable,
            "-m",
            "snakemake",
            *words,
            "--profile",
            "profiles/local",
            "--configfile",
            "config.yaml",
        ]
        began = time.monotonic()
        with (self.root / "said.txt").open("w") as said, (self.root / "errors.txt").open("w") as errors:
            process = subprocess.Popen(command, cwd=self.root, stdout=said, stderr=errors)
            _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - began
        if status:
            raise RuntimeError(f"{' '.join(words)}: status {status}\n{(self.root / 'errors.txt').read_text()[-2000:]}")
        return Cost(round(usage.ru_utime + usage.ru_stime, 2), round(wall, 2), round(usage.ru_maxrss / 1024, 1))

    def said(self) -> str:
        """What the last call said."""
        return (self.root / "said.txt").read_text() + (self.root / "errors.txt").read_text()


def main() -> None:
    """Measure, write the result file and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shards", type=int, nargs="+", default=[16, 32, 64, 128, 256, 512])
    parser.add_argument("--experiments", type=int, nargs="+", default=[1, 5, 10, 20, 40])
    options = parser.parse_args()
    places = [Place(shards, EXPERIMENTS) for shards in options.shards]
    places += [Place(SHARDS, experiments) for experiments in options.experiments]
    points = {}
    for place in dict.fromkeys(places):
        points[place] = measured(place)
        print(json.dumps(points[place]), flush=True)
    result = {
        "points": list(points.values()),
        "limits": {**LIMITS, "rss_mib": MEMORY_LIMIT_MIB},
        "bounds": bounds(points.get(Place(SHARDS, EXPERIMENTS))),
    }
    write_result("dag_scale", result)


def measured(place: Place) -> dict[str, Any]:
    """A row: the place's size, its jobs, and a cost for each call. RuntimeError where a call does other things."""
    place.make()
    plan = place.snakemake("--dry-run")
    jobs = TOTAL.search(place.said())
    place.finish()
    nothing = place.snakemake()
    if jobs is None or DONE not in place.said():
        raise RuntimeError(f"{place.root}: not a plan, or something to do:\n{place.said()[-2000:]}")
    shutil.rmtree(place.root)
    costs = {PLAN: asdict(plan), NOTHING: asdict(nothing)}
    return {"shards": place.shards, "experiments": place.experiments, "jobs": int(jobs[1]), **costs}


def bounds(point: dict[str, Any] | None) -> list[dict[str, Any]]:
    """The point of the published size against its limits; empty if it was left out."""
    if point is None:
        return []
    seconds = [
        {"what": f"{what}, CPU", "measured": point[what]["cpu_s"], "limit": limit, "unit": "s"}
        for what, limit in LIMITS.items()
    ]
    largest = max(point[what]["rss_mib"] for what in LIMITS)
    return [*seconds, {"what": "RSS", "measured": largest, "limit": MEMORY_LIMIT_MIB, "unit": "MiB"}]


if __name__ == "__main__":
    main()
