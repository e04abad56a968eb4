"""Data stages at the size of V1-33K: 33,000 records, and the cost per video from 100 to 10,000 videos.

    PYTHONPATH=scripts .venv/bin/python benchmarks/data_scale.py [--records 33000] [--sizes 100 1000 10000] [--only …]

Records have texts as long as V1-33K's; their videos are hard links to sixteen small generated ones. Everything runs
through Snakemake: per video in shards of 100, at full size in 128 shards. Measured: `snakemake -n` of all stages up to
SFT, with nothing done and with the data stages done; the data stages again with nothing to do; the convert job; CPU
seconds per video of the split and encode jobs, from Snakemake's benchmark files. Writes
`benchmarks/results/data_scale.json` (full size) and `data_per_video.json`.
"""

import argparse
import csv
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from measure import ROOT, WORK, write_result
from nep.config.tiny_model import TinyModel
from nep.demo.tiny_checkpoint import build_model, build_processor, save_checkpoint
from nep.files import write_jsonl
from nep.video.tools import run_ffmpeg

VIDEOS = 16
SHARD = 100
SHARDS = 128
WORDS = ("person", "cup", "table", "opens", "slowly", "red", "door", "walks", "toward", "the", "camera", "and", "holds")
SOURCES = ("youtube", "activitynet", "Charades", "youcook2", "nextqa", "ego4d")
LIMITS = {
    "DAG, nothing done": 5,
    "DAG, data stages done": 5,
    "nothing to do": 10,
    "convert, CPU": 60,
    "convert, RSS": 2,
}


@dataclass(frozen=True)
class Run:
    """A run of the workflow on so many records."""

    records: int
    shards: int

    @property
    def name(self) -> str:
        """Folder below `results/`."""
        return f"scale-{self.records}"

    @property
    def folder(self) -> Path:
        """Where the run's files lie."""
        return ROOT / "results" / self.name

    def snakemake(self, *words: str) -> tuple[float, float]:
        """Run Snakemake; wall seconds, and CPU seconds with those of all jobs."""
        command = [
            str(Path(sys.executable).with_name("snakemake")),
            *words,
            "--profile",
            "profiles/local",
            "--cores",
            "1",
        ]
        before, start = _children_cpu(), time.monotonic()
        command += ["--configfile", str(WORK / f"{self.name}.yaml")]
        with (WORK / f"{self.name}.log").open("a") as log:
            subprocess.run(command, cwd=ROOT, check=True, stdout=log, stderr=log)
        return time.monotonic() - start, _children_cpu() - before

    def job_costs(self, rule: str) -> list[dict[str, str]]:
        """Snakemake's benchmark rows of a rule's jobs."""
        files = [self.folder / "benchmarks" / f"{rule}.tsv", *(self.folder / "benchmarks" / rule).glob("*.tsv")]
        rows = []
        for file in filter(Path.is_file, files):
            with file.open(newline="") as lines:
                rows += csv.DictReader(lines, delimiter="\t")
        return rows


def main() -> None:
    """Measure, write the result file and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=33_000)
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 1_000, 10_000])
    parser.add_argument("--only", choices=["full_size", "per_video"], help="leave the other one out")
    arguments = parser.parse_args()
    WORK.mkdir(parents=True, exist_ok=True)
    if arguments.only != "per_video":
        record("data_scale", {"records": arguments.records, "bounds": full_size(Run(arguments.records, SHARDS))})
    if arguments.only != "full_size":
        runs = [Run(size, max(1, size // SHARD)) for size in arguments.sizes]
        record("data_per_video", {"per_video": [cost_per_video(run) for run in runs]})


def record(name: str, values: dict[str, Any]) -> None:
    """Write a result file, and print it."""
    write_result(name, values)
    print(json.dumps(values, indent=1))


def cost_per_video(run: Run) -> dict[str, float]:
    """CPU milliseconds of split and encode for each video; a job starts once for `SHARD` of them."""
    prepare(run)
    run.snakemake("encode")
    costs = {"records": run.records}
    for stage in ("split", "encode"):
        seconds = sum(float(row["cpu_time"]) for row in run.job_costs(f"{stage}_shard"))
        costs[f"{stage}_ms"] = round(1000 * seconds / run.records, 2)
    return costs


def full_size(run: Run) -> list[dict[str, Any]]:
    """What the workflow costs around the videos themselves."""
    prepare(run)
    measured = {"DAG, nothing done": run.snakemake("sft", "--dry-run", "--quiet", "all")[0]}
    run.snakemake("convert")
    measured["DAG, data stages done"] = run.snakemake("sft", "--dry-run", "--quiet", "all")[0]
    measured["nothing to do"] = run.snakemake("convert")[0]
    (convert,) = run.job_costs("convert_datasets")
    measured["convert, CPU"] = float(convert["cpu_time"])
    measured["convert, RSS"] = float(convert["max_rss"]) / 1024
    units = {"convert, RSS": "GiB"}
    return [
        {"what": what, "measured": round(value, 2), "limit": LIMITS[what], "unit": units.get(what, "s")}
        for what, value in measured.items()
    ]


def prepare(run: Run) -> None:
    """A table of records beside linked videos, a random tiny model, and the configuration."""
    source = WORK / run.name
    for left in (source, run.folder):
        shutil.rmtree(left, ignore_errors=True)
    videos = [_video(number) for number in range(VIDEOS)]
    rows = list(records(run.records, random.Random(0)))
    for number, row in enumerate(rows):
        target = source / row["video_path"]
        target.parent.mkdir(parents=True, exist_ok=True)
        os.link(videos[number % VIDEOS], target)
    write_jsonl(source / "records.jsonl", rows)
    processor = build_processor(WORDS)
    save_checkpoint(build_model(TinyModel(hidden_size=32, layers=1), processor, seed=0), processor, source / "model")
    shards = {"shards": run.shards, "processes": 1}
    config = {
        "run": run.name,
        "source": {"kind": "table", "path": str(source), "annotations": "records.jsonl", "questions": None},
        "model": {"kind": "folder", "path": str(source / "model")},
        "split": shards,
        "encode": shards,
        "vision": {"frames": 8, "max_pixels": 3136},
        "experiments": {"nep": {"sft": {"datasets": {"next_event": None}}}},
    }
    (WORK / f"{run.name}.yaml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")


def records(count: int, chance: random.Random) -> Iterable[dict[str, Any]]:
    """Rows with every annotation that V1-33K has, in texts of its lengths."""
    for number in range(count):
        events = [text(chance, 25) for _ in range(6)]
        yield {
            "video_path": f"{SOURCES[number % len(SOURCES)]}/{number:06d}.mp4",
            "split_time": round(chance.uniform(0.5, 2.5), 2),
            "split_scene": 3,
            "caption": " ".join(events),
            "caption_part1": " ".join(events[:3]),
            "caption_part2": " ".join(events[3:]),
            "events": events,
            "mc_qa": [mc_pair(chance) for _ in range(2)],
            "oe_qa": [{"question": text(chance, 12), "answer": text(chance, 20)} for _ in range(2)],
            "reasoning": text(chance, 350),
            "prediction": text(chance, 80),
            "critique": text(chance, 200),
            "conclusion": chance.choice(["right", "wrong"]),
        }


def mc_pair(chance: random.Random) -> dict[str, str]:
    """A multiple-choice question with its options inline."""
    options = "\n".join(f"{letter}. {text(chance, 6)}" for letter in "ABCD")
    return {"question": f"{text(chance, 10)}?\n{options}", "answer": chance.choice("ABCD")}


def text(chance: random.Random, words: int) -> str:
    """So many words, and a full stop."""
    return " ".join(chance.choices(WORDS, k=words)).capitalize() + "."


def _video(number: int) -> Path:
    path = WORK / "scale-videos" / f"{number}.mp4"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        pattern = f"testsrc2=size=96x72:rate=10:duration=3,hue=h={number * 20}"
        options = (
            "-c:v",
            "libx264",
            "-preset",
            "veryfast",
            "-bf",
            "2",
            "-g",
            "10",
            "-pix_fmt",
            "yuv420p",
            "-threads",
            "1",
        )
        run_ffmpeg(["-nostdin", "-v", "error", "-y", "-f", "lavfi", "-i", pattern, *options, str(path)])
    return path


def _children_cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
