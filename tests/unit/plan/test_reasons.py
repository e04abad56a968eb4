"""Why a job runs, in words."""

import json
from typing import Any

from snakemake.jobs import Reason as SnakemakeReason
from snakemake.persistence import ParamsChange

from nep.plan.reasons import Reason, reasons_of

OLD = {"lr": 1e-3, "epochs": 3, "lora": {"rank": 8, "alpha": 32.0}, "datasets": {"next_event": 16}}
VISION = {"frames": 8, "max_pixels": 3136}


def told(reason: SnakemakeReason, params: dict[str, Any] | None = None, **makers: str) -> list[Reason]:
    return list(reasons_of(reason, params or {}, makers))


def changed(old: list[Any], params: dict[str, Any], same: list[Any] | None = None) -> list[Reason]:
    """The reasons of a job whose params were `old` and `same` and are `params` and `same` now."""
    reason = SnakemakeReason()
    reason.params_changed = ParamsChange(only_old=set(map(repr, old)), only_new=set(map(repr, params.values())))
    return told(reason, params)


def as_json(block: dict[str, Any]) -> str:
    return json.dumps(block, sort_keys=True)


def test_a_missing_output_is_told_without_the_inputs_that_will_follow() -> None:
    reason = SnakemakeReason()
    reason.missing_output.add("b.json")
    reason.updated_input_run.add("a.json")
    assert told(reason, **{"a.json": "make_a"}) == [Reason("missing output")]


def test_a_job_that_only_waits_names_the_rules_that_it_waits_for() -> None:
    reason = SnakemakeReason()
    reason.updated_input_run.update({"a.json", "b.json"})
    assert told(reason, **{"a.json": "train_sft", "b.json": "merge_encode"}) == [
        Reason("runs after", "merge_encode, train_sft")
    ]


def test_files_that_changed_on_disk_are_named() -> None:
    reason = SnakemakeReason()
    reason.updated_input.update({"prompts.yaml", "a.json"})
    reason.updated_input_run.add("a.json")
    assert told(reason) == [Reason("updated input", "prompts.yaml")]


def test_forced_incomplete_and_other_inputs() -> None:
    reason = SnakemakeReason()
    reason.forced = reason.input_changed = True
    reason.incomplete_output.add("x")
    assert [item.kind for item in told(reason)] == ["forced", "incomplete output", "changed inputs"]


def test_a_changed_recipe_is_told_by_its_keys_with_both_values() -> None:
    new = {**OLD, "lr": 5e-4, "lora": {"rank": 16, "alpha": 32.0}}
    (reason,) = changed([as_json(OLD)], {"recipe": as_json(new)})
    assert str(reason) == "changed params: lora.rank: 8 → 16, lr: 0.001 → 0.0005"
    assert (reason.before, reason.now) == (OLD, new)


def test_two_blocks_are_told_apart_by_their_keys() -> None:
    params = {"recipe": as_json({**OLD, "epochs": 4}), "vision": as_json({**VISION, "frames": 16})}
    (reason,) = changed([as_json(VISION), as_json(OLD)], params)
    assert reason.detail == "epochs: 3 → 4, vision.frames: 8 → 16"


def test_a_key_that_is_new_had_nothing_before() -> None:
    (reason,) = changed([as_json(VISION)], {"vision": as_json({**VISION, "fps": 2})})
    assert reason.detail == "vision.fps: nothing → 2"


def test_many_keys_are_counted() -> None:
    old = {f"key{number}": 0 for number in range(7)}
    (reason,) = changed([as_json(old)], {"recipe": as_json(dict.fromkeys(old, 1))})
    assert reason.detail.endswith("key3: 0 → 1 and 3 more")


def test_a_changed_fingerprint_is_changed_code() -> None:
    (reason,) = changed(["0123456789abcdef"], {"code": "fedcba9876543210"})
    assert reason == Reason("changed code", "of its script or a module that this imports")


def test_code_and_seed_may_change_together() -> None:
    code, seed = changed(["0123456789abcdef", 3], {"code": "fedcba9876543210", "seed": 4})
    assert (code.kind, seed.detail) == ("changed code", "seed: 3 → 4")


def test_a_value_that_is_only_gone_is_a_change_too() -> None:
    reason = SnakemakeReason()
    reason.params_changed = ParamsChange(only_old={"'x'"}, only_new=set())
    assert [item.kind for item in told(reason)] == ["changed params"]


def test_reasons_are_grouped_by_what_they_say() -> None:
    one, other = (Reason("changed params", "lr: 1 → 2", {"lr": 1}, now) for now in ({"lr": 2}, {"lr": 2, "x": 1}))
    assert one == other and len({one, other}) == 1
    assert one != Reason("changed params", "lr: 1 → 3")
