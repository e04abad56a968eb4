"""The plan of a dry run: disk that stages write again or for the first time, what is cached, GPUs, checks."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nep.config.whole import Config, load_config
from nep.plan.dry_run import DryRun, Job
from nep.plan.reasons import Reason
from nep.plan.run_plan import RunPlan, StageRow, plan_run

MISSING, CHANGED = Reason("missing output"), Reason("changed params", "crf: 18 → 20")


@pytest.fixture
def config() -> Config:
    return load_config(
        {
            "run": "r",
            "source": {"kind": "folder", "path": "nowhere"},
            "model": {"kind": "folder", "path": "nowhere"},
            "evaluate": {"device": "cpu"},
            "experiments": {"nep": {"sft": {"processes": 4}}},
        }
    )


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run with 600 bytes of cut videos, whose source held 1,000."""
    for place, name in enumerate(["segments/first/a.mp4", "segments/second/a.mp4", "work/split/f/a.json"]):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(b"x" * (200 + 200 * place))
    (tmp_path / "download").mkdir()
    (tmp_path / "download/videos.json").write_text(json.dumps({"count": 10, "bytes": 1000}), encoding="utf-8")
    return tmp_path


def shards(*reasons: Reason | None) -> list[Job]:
    """Shards of split, each of which runs for its reason, or not."""
    jobs = []
    for place, reason in enumerate(reasons, start=1):
        output = Path(f"split/{place}-of-{len(reasons)}.json")
        why = (reason,) if reason else ()
        jobs.append(
            Job("split_shard", "split", {"shard": str(place)}, bool(reason), why, 1, {}, (output,), None, local=False)
        )
    return jobs


def training(**resources: Any) -> Job:
    wildcards = {"experiment": "nep"}
    return Job("train_sft", "sft", wildcards, True, (MISSING,), 1, resources, (Path("m"),), None, local=False)


def planned(jobs: list[Job], config: Config, run: Path, executor: str = "local") -> RunPlan:
    return plan_run(DryRun(tuple(jobs), executor, ()), config, run)


def split_of(plan: RunPlan) -> StageRow:
    (stage,) = plan.stages
    return stage


def test_a_stage_that_runs_again_writes_as_much_as_before(config: Config, run: Path) -> None:
    stage = split_of(planned(shards(CHANGED, CHANGED), config, run))
    assert (stage.written, stage.growth) == (600, 0)


def test_shards_that_are_missing_add_as_much_as_the_others_hold(config: Config, run: Path) -> None:
    stage = split_of(planned(shards(None, None, MISSING), config, run))
    assert (stage.written, stage.growth) == (300, 300)
    assert (stage.rules[0].to_run, stage.rules[0].done) == (1, 2)


def test_a_first_run_writes_what_is_expected(config: Config, run: Path) -> None:
    stage = split_of(planned(shards(MISSING, MISSING), config, run))
    assert (stage.written, stage.growth) == (1000, 1000)


def test_what_is_kept_is_told(config: Config, run: Path) -> None:
    assert "videos in the ledger: 1" in split_of(planned(shards(MISSING), config, run)).cached
    (run / "work/sft/nep/f/step-20").mkdir(parents=True)
    (run / "work/sft/nep/f/step-100").mkdir()
    assert "a checkpoint at step 100" in split_of(planned([training()], config, run)).cached


def test_jobs_with_the_same_reason_are_counted(config: Config, run: Path) -> None:
    (row,) = split_of(planned(shards(CHANGED, MISSING, CHANGED), config, run)).rules
    assert row.reasons == {CHANGED: 2, MISSING: 1}


def test_a_plan_without_jobs_checks_nothing(config: Config, run: Path) -> None:
    plan = planned(shards(None), config, run)
    assert (plan.to_run, plan.checks) == (0, [])


def test_the_ground_is_that_of_the_executor(config: Config, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    local = {check.what: check.state for check in planned([training()], config, run).checks}
    assert local["memory of train_sft nep"] == "unknown" and "partition" not in local
    slurm = planned([training(gpu=2)], config, run, "slurm").checks
    assert [(check.what, check.state) for check in slurm if check.state == "problem"] == [
        ("GPUs", "problem"),
        ("partition", "problem"),
    ]
    other = planned([replace(training(), resources={"gpu": 4})], config, run, "kubernetes").checks
    assert ("scheduler", "unknown") in {(check.what, check.state) for check in other}
