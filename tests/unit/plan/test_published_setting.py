"""The published configuration on eight H200: times within 30 % of a review's own arithmetic, which are the ranges here,
and a cluster that takes its jobs."""

import json
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from support.entry_points import ROOT
from support.qwen_7b import write_config
from support.workflow import Workplace

from nep.config.question_filters import Difficulty, VisualGain
from nep.config.whole import Config, load_config
from nep.plan.gpu_time import (
    choosing_seconds,
    evaluation_seconds,
    grpo_seconds,
    grpo_step_seconds,
    sft_seconds,
    token_seconds,
    update_seconds,
)
from nep.plan.training import TrainingCost, training_cost, visual_shape

FILE = "config/v1_33k.yaml"
# What V1-33K and FutureBench hold.
VIDEOS, QUESTIONS, TRAINED_ON, ASKED = 33_206, 1056, 5000, 2000
WITHIN = 0.3
COMMAND = ["--profile", "slurm", "plan", "--software-deployment-method", "env-modules", "--configfile", FILE]
RULES = ("train_sft", "train_grpo", "evaluate_model")
# Nodes of 8 H200, 96 cores and 2 TB, whose jobs may take a day; and others, whose jobs may take five hours.
SINFO = "#!/bin/sh\necho 'gpu*|gpu:h200:8|2000000|96|1-00:00:00'\necho 'short|(null)|2000000|96|5:00:00'\n"


@pytest.fixture(scope="module")
def published() -> Config:
    return load_config(yaml.safe_load((ROOT / FILE).read_text(encoding="utf-8")))


@pytest.fixture(scope="module")
def costs(published: Config, tmp_path_factory: pytest.TempPathFactory) -> dict[str, TrainingCost]:
    folder = tmp_path_factory.mktemp("model")
    write_config(folder)
    visual = visual_shape(folder, published.vision)
    experiment = published.experiments["nep"]
    return {stage: training_cost(folder, getattr(experiment, stage), visual, True) for stage in ("sft", "grpo")}


def is_about(value: float, lowest: float, highest: float) -> bool:
    """Whether a figure is in a range of that arithmetic, or at most 30 % beside it."""
    return lowest * (1 - WITHIN) <= value <= highest * (1 + WITHIN)


def test_a_gpu_learns_and_decodes_as_fast_as_expected(published: Config, costs: dict[str, TrainingCost]) -> None:
    sft, grpo = published.experiments["nep"].sft, published.experiments["nep"].grpo
    assert sft.datasets == {"next_event": TRAINED_ON}
    assert is_about(sft_seconds(sft, costs["sft"], TRAINED_ON, sft.validation_samples) / 60, 5, 6)
    assert is_about(token_seconds(grpo, costs["grpo"], prompts=2, completions=8) * 1e3, 5.5, 6)
    assert is_about(grpo_step_seconds(grpo, costs["grpo"]), 20, 20)


def test_a_validation_of_grpo_counts(published: Config, costs: dict[str, TrainingCost]) -> None:
    """Six of them: asking all held-out questions, a twentieth of the data, would take 16 to 40 minutes."""
    grpo = published.experiments["nep"].grpo
    steps = grpo_seconds(grpo, costs["grpo"], ASKED, 0)
    assert is_about((grpo_seconds(grpo, costs["grpo"], ASKED, VIDEOS // 20) - steps) / 60, 16, 40)
    assert is_about(grpo_seconds(grpo, costs["grpo"], ASKED, grpo.validation_samples) / 3600, 0.7, 0.7)


def test_choosing_the_questions_counts(published: Config, costs: dict[str, TrainingCost]) -> None:
    """Eight answers to each of 2,000 questions are as many as 125 steps of 16 × 8 sample; a gain takes both ways."""
    grpo = published.experiments["nep"].grpo
    rollouts = grpo.steps * (grpo_step_seconds(grpo, costs["grpo"]) - update_seconds(grpo, costs["grpo"]))
    once, thrice = (grpo.model_copy(update={"difficulty": Difficulty(refresh_every=every)}) for every in (None, 50))
    assert choosing_seconds(grpo, costs["grpo"], ASKED) == 0
    assert choosing_seconds(once, costs["grpo"], ASKED) == pytest.approx(rollouts)
    assert choosing_seconds(thrice, costs["grpo"], ASKED) == pytest.approx(3 * rollouts)
    both = once.model_copy(update={"visual_gain": VisualGain()})
    assert choosing_seconds(both, costs["grpo"], ASKED) == pytest.approx(3 * rollouts)


def test_an_evaluation_takes_hours_and_not_days(published: Config) -> None:
    """Eight GPUs and batches of eight; the profile gives it more than twice its time, and one GPU would not do."""
    evaluate = published.evaluate
    assert (evaluate.processes, evaluate.batch_size) == (8, 8)
    hours = evaluation_seconds(evaluate, QUESTIONS) / 3600
    assert is_about(hours, 1, 1)
    profile = yaml.safe_load((ROOT / "profiles/slurm/config.yaml").read_text(encoding="utf-8"))
    asked = profile["default-resources"] | profile["set-resources"]["evaluate_model"]
    runtime = eval(str(asked["runtime"]), {"attempt": 1}) / 60
    assert 2 * hours < runtime
    alone = evaluate.model_copy(update={"batch_size": 1, "processes": 1})
    assert evaluation_seconds(alone, QUESTIONS) / 3600 > 4 * runtime


def test_the_plan_of_the_published_run(published: Config, tmp_path: Path) -> None:
    """What `snakemake --profile slurm plan` runs, where data and base model are known and a cluster is there."""
    place = Workplace.make(tmp_path / "nep")
    (place.root / "slurm").symlink_to("profiles/slurm")
    run = place.root / "results" / published.run
    known = {
        "download/archives.json": {"archives": [{"name": "video_data_part0.tar.gz", "size": 4 << 30}]},
        "download/videos.json": {"count": VIDEOS, "bytes": 4 << 30},
        "convert/manifest.json": {
            "files": {
                "futurebench.jsonl": {"rows": QUESTIONS},
                "sft/next_event.json": {"rows": VIDEOS},
                "grpo/next_event_mc.jsonl": {"rows": VIDEOS},
            }
        },
    }
    for name, content in known.items():
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_text(json.dumps(content), encoding="utf-8")
    write_config(run / "models/base")
    profile = place.root / "profiles/slurm/config.yaml"
    to_short = profile.read_text(encoding="utf-8").replace("hash_shard: {", "hash_shard: {slurm_partition: short, ")
    profile.write_text(to_short, encoding="utf-8")
    text = plan(place, published, run)
    sft, grpo, evaluation = (gpu_hours_of_a_job(text, rule) / 8 for rule in RULES)
    assert is_about(sft * 60, 5, 6) and is_about(grpo, 0.7, 0.7) and is_about(evaluation, 1, 1)
    lines = [line.split() for line in text.partition("\nGround\n")[2].splitlines()]
    # Whether this machine's disk holds it is not the question here.
    (wrong,) = (" ".join(line) for line in lines if line[0] in ("PROBLEM", "WARNING") and line[1] != "disk")
    assert wrong == (
        "PROBLEM partition hash_shard: asks 320 minutes (runtime), 16 jobs in a row; 'short' has 300 at most"
    )
    for rule in ("split_shard", "encode_shard", *RULES):
        assert [line for line in lines if line[:4] == ["ok", "time", "of", rule]], rule


def plan(place: Workplace, config: Config, run: Path) -> str:
    """The plan's text; no hub answers."""
    sinfo = place.root / "bin" / "sinfo"
    sinfo.parent.mkdir()
    sinfo.write_text(SINFO, encoding="utf-8")
    sinfo.chmod(sinfo.stat().st_mode | stat.S_IXUSR)
    path = os.pathsep.join([str(sinfo.parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "HF_ENDPOINT": "http://127.0.0.1:9"}
    words = {"--command": json.dumps(COMMAND), "--targets": "all", "--config": config.model_dump_json()}
    command = [sys.executable, "scripts/plan_run.py", *(word for pair in words.items() for word in pair)]
    done = subprocess.run(
        [*command, "--run-dir", str(run)], cwd=place.root, env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout.startswith(f"Plan of run '{config.run}'"), done.stderr
    return done.stdout


def gpu_hours_of_a_job(text: str, rule: str) -> float:
    """Of a rule's row in the plan's table: jobs to run, done, CPU-hours, GPU-hours."""
    jobs, hours = re.search(rf"\b{rule} +(\d+) +\d+ +\S+ +([\d.,]+) ", text).groups()
    return float(hours) / int(jobs)
