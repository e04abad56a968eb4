"""How Snakemake is started where a plan is all that is asked for."""

from collections.abc import Sequence
from typing import Any

from snakemake.exceptions import WorkflowError

from nep.plan.dry_run import TARGET, asked_for


def is_plan(command: Sequence[str]) -> bool:
    """Whether a Snakemake command line asks for the plan. Raises WorkflowError where it asks for more besides."""
    asked = asked_for(command) if TARGET in command else set()
    if TARGET in asked and len(asked) > 1:
        raise WorkflowError(f"'{TARGET}' is asked for alone: what stands beside it would run; it plans everything")
    return TARGET in asked


def need_no_cores(workflow: Any) -> None:
    """Let a plan be asked for without --cores."""
    workflow.resource_settings.cores = workflow.resource_settings.cores or 1


def leave_runs_alone(workflow: Any) -> None:
    """Keep the locks of runs, which a plan may be made beside, and do not try twice."""
    # As with --nolock: a Snakemake that ends removes the locks of all others, too (FilePersistence._delete_locks).
    workflow.persistence.unlock = workflow.persistence.noop
    # A second try would say the same.
    workflow.execution_settings.retries = 0
