"""The whole workflow through Slurm: what it asks for, what jobs see; trainings that are stopped leave no trace."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from support.slurm import SlurmRun, jobs, slurm_workplace, started
from support.workflow import hashes

from local_slurm.cluster import LocalCluster
from nep.files import read_json, read_jsonl
from nep.slurm.costs import costs, job_ids, read_listing

# Far above what it takes, so that a busy machine does not fail it.
STAGE_S = 900
DELAY = "SLOW_REWARD_S"
# Waits, in the disturbed run only, so that a training can be stopped in its middle.
SLOW_REWARD = f"""
import os, time

def nothing(completion, answer, row):
    time.sleep(float(os.environ.get("{DELAY}", "0")))
    return 0.0
"""
CHANGES: dict[str, Any] = {
    "split": {"shards": 4},
    "sft": {"epochs": 40, "checkpoint_minutes": 60, "validate_every": 1000},
    "grpo": {"steps": 20, "rewards": {"letter": 1.0, "slow:nothing": 1.0}},
    "evaluate": {"variants": ["direct"]},
    "report": {"headline": "direct"},
}
WIDE = {"experiments": {"wide": {"sft": {"nodes": 2, "threads": 1, "datasets": {"next_event": 16}}}}}


def test_the_workflow_with_trainings_that_are_stopped(
    accounted_cluster: LocalCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = accounted_cluster
    place = slurm_workplace(tmp_path / "workplace")
    (place.root / "slow.py").write_text(SLOW_REWARD)
    config = place.configure("small", **CHANGES, **WIDE)
    monkeypatch.setitem(cluster.environment, DELAY, "0.2")
    run_folder = place.root / "results" / "small"
    seen_by_wide: dict[str, str] = {}

    def watching(reached: Callable[[], bool]) -> Callable[[], bool]:
        def look() -> bool:
            seen_by_wide.update(gpus_on_nodes(cluster, "wide"))
            return reached()

        return look

    with started(cluster, place, "--configfile", str(config)) as run:
        run.wait_until(watching(lambda: steps(run_folder, "sft", "nep") >= 3), STAGE_S)
        (sft,) = jobs(cluster, "rule_train_sft_wildcards_nep", place)
        seen = environment_of(cluster, sft.id, "scripts/train_sft.py")
        cluster.ask("scancel", "--signal=TERM", sft.id)

        run.wait_until(watching(lambda: steps(run_folder, "grpo", "nep") >= 2 and len(seen_by_wide) == 2), STAGE_S)
        (grpo,) = jobs(cluster, "rule_train_grpo_wildcards_nep", place)
        # Within the 300 s before its end in which the profile has it signalled.
        cluster.ask("scontrol", "update", f"JobId={grpo.id}", "EndTime=now+240")
        run.wait_until(lambda: restarts(cluster, grpo.id, run) == 1, STAGE_S)
        cluster.ask("scontrol", "update", f"JobId={grpo.id}", "TimeLimit=60")
        assert run.finish(STAGE_S) == 0, run.text

    assert seen["CUDA_VISIBLE_DEVICES"].count(",") == 1
    for rule in ("train_sft_wildcards_nep", "train_grpo_wildcards_nep"):
        assert [(job.state, job.restarts) for job in jobs(cluster, f"rule_{rule}", place)] == [("COMPLETED", 1)]
    left = hashes(run_folder / "nep")
    assert {"sft/model/model.safetensors", "grpo/model/model.safetensors", "grpo/metrics.jsonl"} < set(left)

    # Four shards each, one after another in one job.
    for rule in ("split", "hash"):
        (group,) = jobs(cluster, f"rule_{rule}_shards", place)
        assert (group.memory_mb, group.minutes) == (2000, 4 * 20)
    # What is light or needs the internet is no job.
    rules = {job.comment.removeprefix("rule_").partition("_wildcards")[0] for job in jobs(cluster, "", place)}
    assert not rules & {"list_source", "finish_download", "fetch_model", "all"}

    evaluations = jobs(cluster, "rule_evaluate_model", place)
    assert [(job.state, job.gpus) for job in evaluations] == [("COMPLETED", "gres:gpu:1")] * 4
    page = (run_folder / "report" / "index.html").read_text(encoding="utf-8")
    monkeypatch.setenv("SLURM_CONF", str(cluster.configuration))
    accounted = {cost.rule: cost for cost in costs(read_listing(job_ids(run_folder)), place.root)}
    assert (accounted["train_sft"].jobs, accounted["train_sft"].starts) == (2, 3)
    for rule in ("train_sft", "train_grpo", "evaluate_model"):
        assert f">{rule.replace('_', ' ')}</th>" in page and accounted[rule].gpu_hours > 0
        assert f'data-value="{accounted[rule].gpu_hours}"' in page, "GPU hours as Slurm counts them"

    (wide,) = jobs(cluster, "rule_train_sft_wildcards_wide", place)
    assert (wide.nodes, wide.gpus) == (2, "gres:gpu:2")
    assert set(seen_by_wide) == set(cluster.names) and all(gpus.isdecimal() for gpus in seen_by_wide.values())
    manifest = read_json(run_folder / "wide" / "sft" / "manifest.json")
    one_node = [row["loss"] for row in read_jsonl(run_folder / "nep" / "sft" / "metrics.jsonl")]
    two_nodes = [row["loss"] for row in read_jsonl(run_folder / "wide" / "sft" / "metrics.jsonl")]
    assert two_nodes == pytest.approx(one_node, abs=1e-3) and manifest["steps"] == len(one_node)

    # The same trainings, here and undisturbed.
    for trained in ("nep", "work/sft", "work/grpo"):
        shutil.rmtree(run_folder / trained)
    outcome = place.run(config, "results/small/nep/grpo/manifest.json")
    assert outcome.status == 0, outcome.text
    assert hashes(run_folder / "nep") == left


def steps(run_folder: Path, stage: str, experiment: str) -> int:
    """Steps that a training has logged so far."""
    logs = run_folder.glob(f"work/{stage}/{experiment}/*/metrics.jsonl")
    return sum(path.read_bytes().count(b"\n") for path in logs)


def restarts(cluster: LocalCluster, job: str, run: SlurmRun) -> int:
    return next(found.restarts for found in jobs(cluster, "", run.workplace) if found.id == job)


def gpus_on_nodes(cluster: LocalCluster, experiment: str) -> dict[str, str]:
    """Node → CUDA_VISIBLE_DEVICES of the process there that trains the experiment."""
    found = {}
    for number in cluster.processes():
        try:
            process = psutil.Process(number)
            words, environment = process.cmdline(), process.environ()
        except psutil.NoSuchProcess:
            continue
        training = "scripts/train_sft.py" in words and Path(words[0]).name.startswith("python")
        if training and words[words.index("--experiment") + 1] == experiment:
            found[environment["SLURMD_NODENAME"]] = environment["CUDA_VISIBLE_DEVICES"]
    return found


def environment_of(cluster: LocalCluster, job: str, script: str) -> dict[str, str]:
    """Environment of the process of a job that runs a script, as the process has it."""
    for number in cluster.processes():
        try:
            process = psutil.Process(number)
            if process.environ().get("SLURM_JOB_ID") == job and process.cmdline()[1:2] == [script]:
                return process.environ()
        except psutil.NoSuchProcess:
            continue
    raise AssertionError(f"no process of job {job} runs {script}")
