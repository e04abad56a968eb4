"""`snakemake plan` on the small demo: before a run, after it, after a change, and where the run could not succeed."""

from pathlib import Path

import pytest
from support.workflow import Outcome, Workplace

from nep.workflow.lock import held_as_job

pytestmark = pytest.mark.e2e

LOCK = ".snakemake/locks/0.output.lock"


def plan(workplace: Workplace, config: Path) -> Outcome:
    """The plan, asked for without a profile and without cores."""
    return workplace.snakemake("plan", "--configfile", str(config))


def times(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in sorted(folder.rglob("*"))}


def test_before_a_run_everything_is_missing_and_nothing_is_made(workplace: Workplace) -> None:
    outcome = plan(workplace, workplace.configure("small"))
    assert outcome.status == 0, outcome.text
    assert "Plan of run 'small': 24 jobs to run, 0 done" in outcome.text
    assert "After list_source there will be more jobs" in outcome.text
    assert "\n  missing output\n    make_demo_data, make_tiny_model, list_source" in outcome.text
    assert "arithmetic: 28 videos" in outcome.text and "PROBLEM" not in outcome.text
    assert not (workplace.root / "results").exists()


def test_after_a_run_there_is_nothing_to_do_and_nothing_has_changed(small_run) -> None:
    before = times(small_run.folder)
    outcome = plan(small_run.workplace, small_run.config)
    assert outcome.status == 0, outcome.text
    assert "Plan of run 'small': nothing to do, every result is up to date." in outcome.text
    assert times(small_run.folder) == before
    assert "Nothing to be done" in small_run.workplace.run(small_run.config, "--dry-run").text


def test_a_changed_learning_rate_is_named_with_what_follows_and_its_measured_cost(copy_of_small_run) -> None:
    outcome = plan(copy_of_small_run, copy_of_small_run.configure("small", sft={"lr": 5e-4}))
    assert outcome.status == 0, outcome.text
    assert "Plan of run 'small': 5 jobs to run, 21 done" in outcome.text
    assert "\n  changed params: lr: 0.001 → 0.0005\n    train_sft\n" in outcome.text
    assert "\n  runs after: train_sft\n    train_grpo, evaluate_model\n" in outcome.text
    assert "measured: results/small/benchmarks/train_sft/nep.tsv" in outcome.text
    config = copy_of_small_run.configure("small")
    assert "Nothing to be done" in copy_of_small_run.run(config, "--dry-run").text


def test_a_training_that_cannot_fit_ends_the_plan_with_its_reason(copy_of_small_run) -> None:
    config = copy_of_small_run.configure("small", sft={"pack_tokens": 10**9, "batch_size": 10**6})
    outcome = plan(copy_of_small_run, config)
    assert outcome.status != 0
    assert "PROBLEM  memory of train_sft nep" in outcome.text
    assert "this run would fail, by 1 of the checks above" in outcome.text
    assert outcome.text.count("Plan of run") == 1, "not tried again"


def test_another_runs_lock_is_neither_in_the_way_nor_taken(copy_of_small_run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEP_RUN", "small")
    lock = copy_of_small_run.root / LOCK
    lock.parent.mkdir(exist_ok=True)
    lock.write_text("results/small/nep/sft/manifest.json\n", encoding="utf-8")
    with held_as_job(copy_of_small_run.root / ".snakemake"):
        outcome = plan(copy_of_small_run, copy_of_small_run.configure("small", sft={"lr": 5e-4}))
    assert outcome.status == 0, outcome.text
    assert lock.is_file()


def test_a_plan_is_asked_for_alone(workplace: Workplace) -> None:
    outcome = workplace.run(workplace.configure("small"), "plan", "records")
    assert outcome.status != 0
    assert "'plan' is asked for alone" in outcome.text
