"""Costs by rule from what sacct of Slurm 22.05 printed (`sacct.txt`; submissions are cut short there)."""

from pathlib import Path

import pytest

from nep.slurm.costs import Cost, costs, job_ids, run_costs, table

LISTING = Path(__file__).with_name("sacct.txt").read_text(encoding="utf-8")
FOLDER = Path("/home/user/nep")
GIB = 2**20  # of KiB


def of(listing: str, rule: str) -> Cost:
    return next(cost for cost in costs(listing, FOLDER) if cost.rule == rule)


def test_a_job_that_was_queued_again_counts_for_both_starts() -> None:
    cost = of(LISTING, "train_sft")
    assert (cost.jobs, cost.starts) == (1, 2)
    assert cost.hours == pytest.approx((10 + 29) / 3600)
    assert cost.gpu_hours == pytest.approx(2 * (10 + 29) / 3600)
    assert cost.cpu_hours == pytest.approx((20 + 58) / 3600)
    assert cost.peak_gib == pytest.approx(337360 / GIB)


def test_failed_jobs_and_groups_count_and_a_job_without_gpus_has_none() -> None:
    assert of(LISTING, "fill") == Cost("fill", 1, 1, 164 / 3600, None, 164 / 3600, 618896 / GIB)
    assert of(LISTING, "shards_shard").hours == 0
    assert {cost.rule for cost in costs(LISTING, FOLDER)} == {
        "train_it",
        "shards_shard",
        "fill",
        "train_sft",
        "evaluate_model",
    }


def test_where_comments_are_not_stored_the_submission_says_the_rule() -> None:
    rows = [line.split("|", 2) for line in LISTING.splitlines()]
    without = "\n".join("|".join([row[0], "", row[2]]) for row in rows)
    assert costs(without, FOLDER) == costs(LISTING, FOLDER)


def test_gpus_that_are_counted_by_model_only() -> None:
    assert costs(LISTING.replace("gres/gpu=", "gres/gpu:h200="), FOLDER) == costs(LISTING, FOLDER)
    both = LISTING.replace("gres/gpu=2", "gres/gpu:h200=2,gres/gpu=2")
    assert costs(both, FOLDER) == costs(LISTING, FOLDER)


def test_jobs_of_other_folders_and_programs_are_left_out() -> None:
    assert costs(LISTING, Path("/home/user/other")) == []
    assert costs(LISTING.replace("rule_", "job_"), FOLDER) == []


def test_a_submission_may_hold_separators_and_line_ends() -> None:
    assert costs(LISTING.replace("--wrap=…", "--wrap=a | tee b\n| c"), FOLDER) == costs(LISTING, FOLDER)


def test_the_table_ends_with_the_sum() -> None:
    lines = table([Cost("a", 1, 2, 1.0, 8.0, 16.0, 30.5), Cost("b", 3, 3, 0.5, None, 0.5, 2.0)]).splitlines()
    assert lines[0].split() == ["rule", "jobs", "starts", "hours", "GPU", "hours", "CPU", "hours", "peak", "GiB"]
    assert lines[2].split() == ["b", "3", "3", "0.50", "–", "0.50", "2.00"]
    assert lines[3].split() == ["all", "4", "5", "1.50", "8.00", "16.50", "30.50"]


def test_the_jobs_of_a_run_are_those_whose_logs_it_has(tmp_path: Path) -> None:
    for name in (
        "train_sft/nep.log",
        "train_sft/nep.slurm-12.log",
        "train_sft/nep.slurm-9.log",
        "split_shards.slurm-3.log",
    ):
        log = tmp_path / "logs" / name
        log.parent.mkdir(parents=True, exist_ok=True)
        log.touch()
    assert job_ids(tmp_path) == ["3", "9", "12"]


def test_a_run_without_slurm_asks_no_accounting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert run_costs(tmp_path) == []
