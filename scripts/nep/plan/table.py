"""The plan as text for a terminal."""

from collections.abc import Callable, Iterable, Sequence

from nep.plan.checks import Check, in_gib
from nep.plan.reasons import Reason
from nep.plan.run_plan import RuleRow, RunPlan, StageRow

HEAD = ("stage", "rule", "to run", "done", "CPU-hours", "GPU-hours", "disk", "estimated from")
RIGHT = {"to run", "done", "CPU-hours", "GPU-hours", "disk"}
NOT_KNOWN = "?"
LOUD = ("problem", "warning")
HOUR_S = 3600
SMALLEST_HOURS = 0.01


def plan_text(plan: RunPlan) -> str:
    """Jobs by stage, why they run, what is there already, and the checks."""
    if not plan.to_run:
        return f"Plan of run '{plan.run}': nothing to do, every result is up to date."
    done = sum(row.done for stage in plan.stages for row in stage.rules)
    parts = [f"Plan of run '{plan.run}': {plan.to_run} jobs to run, {done} done", _stage_table(plan)]
    if plan.open_ended:
        parts.append(f"After {', '.join(plan.open_ended)} there will be more jobs: one for each archive of the source.")
    parts.append("Why\n" + _why(plan.stages))
    if cached := _cached(plan.stages):
        parts.append("Kept from earlier runs\n" + cached)
    parts.append("Ground\n" + ground_text(plan.checks))
    return "\n\n".join(parts)


def ground_text(checks: Iterable[Check]) -> str:
    """A line for each check: its state, what it is about, what was found."""
    return _columns([(f"  {_state(check)}", check.what, check.says) for check in checks])


def _state(check: Check) -> str:
    return check.state.upper() if check.state in LOUD else check.state


def _stage_table(plan: RunPlan) -> str:
    rows: list[Sequence[str]] = [HEAD]
    for stage in plan.stages:
        for place, row in enumerate(stage.rules):
            disk = _bytes(stage.written) if place == 0 and stage.to_run else ""
            rows.append(
                ("" if place else stage.stage, row.rule, *_counts(row), disk, row.cost.source if row.cost else "")
            )
    working = [stage for stage in plan.stages if stage.to_run]
    costs = [row.cost for stage in working for row in stage.rules if row.cost]
    hours = [_total([getattr(cost, kind) for cost in costs], _hours) for kind in ("cpu_seconds", "gpu_seconds")]
    rows.append(("all", "", str(plan.to_run), "", *hours, _total([stage.written for stage in working], _bytes), ""))
    return _columns(rows, {place for place, name in enumerate(HEAD) if name in RIGHT})


def _counts(row: RuleRow) -> tuple[str, str, str, str]:
    hours = (_hours(row.cost.cpu_seconds), _hours(row.cost.gpu_seconds)) if row.cost else ("", "")
    return str(row.to_run), str(row.done), *hours


def _why(stages: Sequence[StageRow]) -> str:
    """The reasons, in the order of the stages, each with its rules and numbers of jobs."""
    found: dict[Reason, list[str]] = {}
    for stage in stages:
        for row in stage.rules:
            for reason, count in row.reasons.items():
                found.setdefault(reason, []).append(row.rule if count == 1 else f"{row.rule} ({count})")
    return "\n".join(f"  {reason}\n    {', '.join(rules)}" for reason, rules in found.items())


def _cached(stages: Sequence[StageRow]) -> str:
    return _columns([(f"  {stage.stage}", stage.cached) for stage in stages if stage.cached])


def _hours(seconds: float | None) -> str:
    if seconds is None:
        return NOT_KNOWN
    hours = seconds / HOUR_S
    return f"{hours:,.2f}" if hours >= SMALLEST_HOURS or not hours else f"< {SMALLEST_HOURS}"


def _bytes(size: float | None) -> str:
    return NOT_KNOWN if size is None else in_gib(size) if size else "small"


def _total(values: Sequence[float | None], shown: Callable[[float | None], str]) -> str:
    """The sum, marked where a part of it is not known."""
    known = [value for value in values if value is not None]
    text = shown(sum(known)) if known else NOT_KNOWN
    return f"{text} + {NOT_KNOWN}" if known and len(known) < len(values) else text


def _columns(rows: Sequence[Sequence[str]], right: Iterable[int] = ()) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    aligned = [
        [
            text.rjust(width) if place in right else text.ljust(width)
            for place, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        for row in rows
    ]
    return "\n".join("  ".join(row).rstrip() for row in aligned)
