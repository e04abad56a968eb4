"""The plan as text."""

from dataclasses import replace

from nep.plan.checks import Check
from nep.plan.estimates import Estimate
from nep.plan.reasons import Reason
from nep.plan.run_plan import RuleRow, RunPlan, StageRow
from nep.plan.table import plan_text

MISSING = Reason("missing output")
SPLIT = StageRow(
    "split",
    [
        RuleRow("split_shard", 3, 1, {MISSING: 2, Reason("forced"): 1}, Estimate(7200, 0.0, 100.0, "measured: a")),
        RuleRow("merge_split", 1, 0, {MISSING: 1}, Estimate(None, 0.0, None, "no earlier run")),
    ],
    written=3 << 30,
    growth=1 << 30,
    cached="2.0 GiB there",
)
SFT = StageRow("sft", [RuleRow("train_sft", 0, 1, {}, None)], 0, 0, "")
CHECKS = [Check("problem", "disk", "full"), Check("warning", "time", "long"), Check("ok", "GPUs", "8 here")]
PLAN = RunPlan("r", [SPLIT, SFT], ["list_source"], CHECKS)


def test_stages_rules_costs_and_totals() -> None:
    lines = [line.split("  ") for line in plan_text(PLAN).splitlines()]
    words = [[word.strip() for word in line if word.strip()] for line in lines]
    assert words[0] == ["Plan of run 'r': 4 jobs to run, 2 done"]
    assert ["split", "split_shard", "3", "1", "2.00", "0.00", "3.0 GiB", "measured: a"] in words
    assert ["merge_split", "1", "0", "?", "0.00", "no earlier run"] in words
    assert ["sft", "train_sft", "0", "1"] in words
    assert ["all", "4", "2.00 + ?", "0.00", "3.0 GiB"] in words


def test_reasons_with_their_rules_and_numbers_of_jobs() -> None:
    text = plan_text(PLAN)
    assert "Why\n  missing output\n    split_shard (2), merge_split\n  forced\n    split_shard\n" in text
    assert "After list_source there will be more jobs" in text
    assert "Kept from earlier runs\n  split  2.0 GiB there\n" in text


def test_the_ground_with_its_problems() -> None:
    assert plan_text(PLAN).endswith("Ground\n  PROBLEM  disk  full\n  WARNING  time  long\n  ok       GPUs  8 here")


def test_a_cost_that_rounds_to_nothing_is_not_nothing() -> None:
    quick = replace(SPLIT.rules[0], cost=Estimate(3.0, None, None, "x"))
    text = plan_text(replace(PLAN, stages=[replace(SPLIT, rules=[quick])]))
    assert "< 0.01" in text and " ?" in text


def test_nothing_to_do_is_one_line() -> None:
    assert plan_text(replace(PLAN, stages=[SFT])) == "Plan of run 'r': nothing to do, every result is up to date."
