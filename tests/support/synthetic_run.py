"""A whole run folder as the stages would leave it, made in a second: real small videos, invented figures.

The answers are drawn so that SFT beats the base model and GRPO beats SFT, which is what a report has to show.
"""

import json
import math
import os
import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image, ImageDraw
from support.rows import cut

KINDS = ("hop1", "hop2", "hop3", "interpolation")
COLOURS = {"red": (214, 69, 65), "green": (63, 160, 92), "blue": (61, 106, 214), "amber": (232, 170, 42)}
SKILL = {"base": 0.26, "sft": 0.74, "grpo": 0.86, "reference": 0.9}
# Benchmarks beside FutureBench: task, ways of asking, kinds of questions, whether the questions have four options.
OTHER_BENCHMARKS = (
    ("mvbench", ("own",), tuple(f"action_kind_{number}" for number in range(12)), True),
    ("seedbench_r1_l1", ("direct", "reason"), ("l1",), True),
    ("temporalbench", ("own",), ("short", "long"), False),
    ("zz_new", ("own",), (), True),
)
MACHINE = {"system": "Linux x86_64", "processor": "Fast CPU", "cores": 8, "memory_gib": 64, "python": "3.11.2"}
SEEN = {"sampling": "uniform", "frames": 32, "pixels": "decided by the endpoint"}
RULES = (
    ("fetch_archive", 2, 4.2, 90),
    ("parse_records", 1, 1.4, 140),
    ("split_shard", 4, 38.0, 180),
    ("convert_datasets", 1, 3.1, 120),
    ("encode_shard", 2, 31.0, 1450),
    ("train_sft", 1, 171.0, 2300),
    ("train_grpo", 1, 214.0, 2750),
    ("evaluate_model", 3, 96.0, 3100),
)


@dataclass(frozen=True)
class SyntheticRun:
    """What the folder holds.

    Attributes:
        seeds: of all experiments; None: one training each.
        report: keys of the block `report`.
        samples: that each experiment's trainings took, by its name.
        completion: replaces the reasoning text of every answer, to test escaping.
        others: whether the models were evaluated on `OTHER_BENCHMARKS`, too, and left one out.
        gpus: of the machine that the jobs ran on; None for a run without notes on machines.
    """

    experiments: dict[str, tuple[str, ...]] = field(default_factory=lambda: {"next_event": ("sft", "grpo")})
    controls: tuple[str, ...] = ("shuffled_frames",)
    videos: int = 8
    questions_per_video: int = 4
    size: int = 112
    completion: str | None = None
    skipped_steps: int = 0
    others: bool = False
    references: tuple[str, ...] = ()
    gpus: tuple[str, ...] | None = None
    seed: int = 0
    seeds: tuple[int, ...] | None = None
    report: dict[str, Any] = field(default_factory=dict)
    samples: dict[str, int] = field(default_factory=dict)

    @property
    def config(self) -> dict[str, Any]:
        """The configuration as read from YAML."""
        seeds = {} if self.seeds is None else {"seeds": list(self.seeds)}
        bodies = {name: {stage: {} for stage in stages} | seeds for name, stages in self.experiments.items()}
        return {
            "run": "synthetic",
            "source": {"kind": "folder", "path": "data"},
            "model": {"kind": "folder", "path": "model"},
            "experiments": bodies,
            "references": {name: {"url": "http://localhost", "model": name} for name in self.references},
            "evaluate": {"controls": list(self.controls), "device": "cpu"},
            "report": {"examples": 6, **self.report},
        }

    def write(self, root: Path) -> Path:
        """Write the run below `root` and return it."""
        questions = self._write_data(root)
        trainings = [
            (name if seed is None else f"{name}@{seed}", stage)
            for name, stages in self.experiments.items()
            for stage in stages
            for seed in self.seeds or [None]
        ]
        models = [("base", "base"), *trainings]
        for experiment, stage in models:
            folder = "base" if stage == "base" else f"{experiment}-{stage}"
            write_evaluation(root / "evaluate" / folder, self._samples(questions, experiment, stage), self.others)
            if stage != "base":
                self._write_training(root / experiment / stage, stage, experiment)
        for name in self.references:
            write_evaluation(root / "evaluate" / name, self._samples(questions, name, "reference"), self.others)
        for place, (rule, jobs, seconds, memory) in enumerate(RULES):
            for job in range(jobs):
                write_benchmark(root / "benchmarks" / rule / f"{job}.tsv", seconds, memory, ended=1_700_000_000 + place)
        if self.gpus is not None:
            write_value(root / "logs" / "machines" / "a.json", {**MACHINE, "gpus": self.gpus})
        return root

    def _write_data(self, root: Path) -> list[dict[str, Any]]:
        rng = random.Random(self.seed)
        cuts, questions = [], []
        for number in range(self.videos):
            video = f"demo-clip-{number:03d}"
            colour, target = rng.sample(sorted(COLOURS), 2)
            write_clip(root / "segments" / "first" / f"{video}.mp4", COLOURS[colour], 0.1, 0.5, 30, self.size)
            write_clip(root / "segments" / "second" / f"{video}.mp4", COLOURS[target], 0.55, 0.9, 18, self.size)
            cuts.append(cut_row(video, self.size))
            questions += [question_row(rng, video, target, turn) for turn in range(self.questions_per_video)]
        shard = encoded_shard([quarantine("demo-clip-901", "encode", "too_few_frames", "1 frame")])
        cuts.append({"status": "quarantined", **quarantine("demo-clip-900", "split", "split_timeout", "120 s")})
        rejected = [
            quarantine(f"demo-bad-{number}", "records", "split_outside_video", f"split at {9 + number} s of 8.0 s")
            for number in range(3)
        ]
        write_lines(root / "split" / "manifest.jsonl", cuts)
        write_lines(root / "records" / "rejected.jsonl", rejected)
        write_lines(root / "convert" / "futurebench.jsonl", questions)
        write_value(root / "encode" / "shards" / "1-of-1.json", shard)
        write_value(root / "models" / "base.manifest.json", {"fingerprint": "0" * 64, "parameters": 1_240_000})
        return questions

    def _samples(self, questions: list[dict[str, Any]], experiment: str, stage: str) -> Iterable[dict[str, Any]]:
        rng = random.Random(f"{self.seed}/{experiment}/{stage}")
        for variant in ("direct", "reason"):
            for control in (None, *self.controls):
                for question in questions:
                    skill = SKILL[stage] if control is None else 0.25
                    yield self._sample(rng, question, variant, control, skill)
        if self.others:
            yield from self._other_samples(stage, experiment)

    def _other_samples(self, stage: str, experiment: str) -> Iterable[dict[str, Any]]:
        rng = random.Random(f"{self.seed}/{experiment}/{stage}/others")
        for task, variants, kinds, has_options in OTHER_BENCHMARKS:
            for variant in variants:
                for number in range(36):
                    kind = {"kind": kinds[number % len(kinds)]} if kinds else {}
                    yield other_sample(rng, task, variant, number, SKILL[stage] - 0.1, has_options) | kind

    def _sample(self, rng: random.Random, question: dict, variant: str, control: str | None, skill: float) -> dict:
        wrong = [letter for letter in question["options"] if letter != question["answer"]]
        letter = question["answer"] if rng.random() < skill else rng.choice(wrong)
        readable = rng.random() > 0.02
        thought = self.completion or f"The ball moves on, so {question['options'][letter]}."
        completion = f"<think>\n{thought}\n</think>\n<answer>\n{letter}\n</answer>" if variant == "reason" else letter
        parsed = letter if readable else None
        return {
            "task": "futurebench",
            "question_id": question["id"],
            "video_id": question["video_id"],
            "kind": question["kind"],
            "variant": variant,
            "control": control,
            "question": question["question"],
            "options": question["options"],
            "answer": question["answer"],
            "completion": completion if readable else "I cannot tell.",
            "parsed": parsed,
            "correct": parsed == question["answer"],
            "error": None,
            "legacy_parsed": letter,
            "legacy_correct": letter == question["answer"],
        }

    def _write_training(self, folder: Path, stage: str, experiment: str) -> None:
        rng = random.Random(f"{self.seed}/{experiment}/{stage}/log")
        samples = self.samples.get(experiment.partition("@")[0], 1000)
        manifest = {"fingerprint": "1" * 64, "skipped_steps": self.skipped_steps, "samples": samples}
        write_value(folder / "manifest.json", manifest)
        if stage == "sft":
            steps = 320
            rows = [
                {"step": step, "loss": 0.3 + 3 * math.exp(-step / 60) + rng.gauss(0, 0.06)} for step in range(steps)
            ]
            write_lines(folder / "metrics.jsonl", rows)
            held_out = [{"step": step, "loss": 0.35 + 3 * math.exp(-step / 60)} for step in range(0, steps, 40)]
            write_lines(folder / "validation.jsonl", held_out)
            return
        write_lines(folder / "metrics.jsonl", [grpo_row(rng, step) for step in range(1, 121)])
        validation = [
            {"step": step, "reward": 0.72 + step / 900, "accuracy": 0.7, "text_only_accuracy": 0.26}
            for step in range(0, 121, 20)
        ]
        write_lines(folder / "validation.jsonl", validation)


def other_sample(
    rng: random.Random, task: str, variant: str, number: int, skill: float, has_options: bool
) -> dict[str, Any]:
    """An answer to a question of another benchmark; one in twelve ended in an error. Without options, in words."""
    right, fails = rng.random() < skill, number % 12 == 7
    answer = "ABCD"[number % 4] if has_options else f"event {number}"
    wrong = "ABCD"[(number + 1) % 4] if has_options else "another event"
    said = "" if fails else answer if right else wrong
    options = {"options": {letter: f"{letter.lower()}-{number}" for letter in "ABCD"}} if has_options else {}
    return {
        "task": task,
        "question_id": f"{task}-{number}",
        "variant": variant,
        "control": None,
        "question": f"Question {number} of {task}?",
        "answer": answer,
        **options,
        "completion": said,
        "parsed": said or None,
        "correct": right and not fails,
        "error": "OutOfMemoryError: CUDA out of memory" if fails else None,
    }


def grpo_row(rng: random.Random, step: int) -> dict[str, Any]:
    """One step's metrics, as GRPO logs them."""
    reward = 0.7 + 0.16 * (1 - math.exp(-step / 40)) + rng.gauss(0, 0.03)
    return {
        "step": step,
        "reward": reward,
        "reward_letter": reward,
        "accuracy": reward,
        "kl": 0.02 * (1 - math.exp(-step / 50)) + abs(rng.gauss(0, 0.002)),
        "entropy": 0.5 * math.exp(-step / 90) + rng.gauss(0, 0.02),
        "completion_tokens": 24 + rng.gauss(0, 1),
        "zero_variance_groups": min(1.0, 0.3 + step / 300 + abs(rng.gauss(0, 0.05))),
        "truncated": 0.0,
        "repeated": 0.2 + step / 400,
    }


def question_row(rng: random.Random, video: str, target: str, turn: int) -> dict[str, Any]:
    """A row of futurebench.jsonl whose right option names `target`."""
    names = rng.sample(sorted(COLOURS), 4)
    options = {letter: f"the {name} lamp lights up" for letter, name in zip("ABCD", names, strict=True)}
    kind = KINDS[turn % len(KINDS)]
    return {
        "id": f"{video}-{kind}",
        "video_id": video,
        "kind": kind,
        "question": "What happens next in the video?",
        "options": options,
        "answer": "ABCD"[names.index(target)],
        "options_inline": False,
        "video": f"segments/first/{video}.mp4",
        "record": {"source": "demo", "caption_part2": f"The ball runs on and the {target} lamp lights up."},
    }


def cut_row(video: str, size: int) -> dict[str, Any]:
    """A row of the split manifest."""
    return cut(video, width=size, height=size).to_json()


def encoded_shard(quarantined: list[dict[str, Any]]) -> dict[str, Any]:
    """Manifest of a shard of the encode stage, of whose clips some cannot be read."""
    frames = {"path": "encode/frames/1-of-1.safetensors", "sha256": "0" * 64}
    base = {"shard": "1-of-1", "model": "0" * 64, "clips": [], "frames": frames, "features": None}
    return {**base, "quarantined": quarantined}


def write_evaluation(folder: Path, samples: Iterable[dict[str, Any]], others: bool) -> None:
    """One model's samples and scores."""
    listed = list(samples)
    write_lines(folder / "samples.jsonl", listed)
    left_out = [{"task": "tempcompass", "reason": "needs a judge model"}] if others else []
    write_value(
        folder / "scores.json",
        {"model": folder.name, "vision": SEEN, "scores": scores_of(listed), "left_out": left_out},
    )


def scores_of(samples: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Scores by benchmark, variant and kind, with the legacy parser's where it was asked."""
    groups: dict[tuple[str, str, str], list[tuple[bool, dict[str, Any]]]] = {}
    kinds = {(row["task"], row.get("kind")) for row in samples}
    for row in samples:
        variant = "_".join(part for part in (row["variant"], row["control"]) if part)
        # One kind alone is no split.
        several = sum(task == row["task"] for task, _ in kinds) > 1
        for split in ("overall", *([row["kind"]] if several else [])):
            groups.setdefault((row["task"], variant, split), []).append((row["correct"], row))
            if row["control"] is None and "legacy_correct" in row:
                groups.setdefault((row["task"], f"{variant}_legacy", split), []).append((row["legacy_correct"], row))
    return [score_row(*key, members) for key, members in groups.items()]


def score_row(task: str, variant: str, split: str, members: list[tuple[bool, dict[str, Any]]]) -> dict[str, Any]:
    """One row of scores.json; percent. Interval: Wald, which is enough for invented figures."""
    right = [correct for correct, _ in members]
    mean = sum(right) / len(right)
    half = 1.96 * math.sqrt(mean * (1 - mean) / len(right))
    failed = sum(row["error"] is not None for _, row in members)
    return {
        "task": task,
        "variant": variant,
        "split": split,
        "n": len(right),
        "accuracy": 100 * mean,
        "ci_low": 100 * max(0.0, mean - half),
        "ci_high": 100 * min(1.0, mean + half),
        "unreadable": sum(row["parsed"] is None for _, row in members) - failed,
        "failed": failed,
    }


def quarantine(identity: str, stage: str, reason: str, detail: str) -> dict[str, Any]:
    """A quarantine row."""
    return {"id": identity, "stage": stage, "reason": reason, "detail": detail}


def write_clip(path: Path, rgb: tuple[int, int, int], start: float, end: float, frames: int, size: int) -> None:
    """An H.264 clip of a disc that crosses the picture from `start` to `end` (shares of its width)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=12, options={"preset": "ultrafast"})
        stream.width = stream.height = size
        stream.pix_fmt = "yuv420p"
        for place in np.linspace(start, end, frames):
            image = Image.new("RGB", (size, size), (24, 27, 34))
            x, radius = place * size, size / 9
            ImageDraw.Draw(image).ellipse((x - radius, size / 2 - radius, x + radius, size / 2 + radius), fill=rgb)
            container.mux(stream.encode(av.VideoFrame.from_image(image)))
        container.mux(stream.encode(None))


def write_benchmark(path: Path, seconds: float, memory: float, ended: int) -> None:
    """A benchmark file as Snakemake writes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    head = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time"
    path.write_text(f"{head}\n{seconds}\t0:00:00\t{memory}\t-\t-\t-\t0.0\t0.0\t90.0\t{seconds * 0.9:.2f}\n")
    os.utime(path, (ended, ended))


def write_lines(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """JSON lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def write_value(path: Path, value: Any) -> None:
    """JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")
