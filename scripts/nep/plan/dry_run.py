"""What Snakemake itself would run: a dry run through its API, with the profile and options of a command line."""

import contextlib
import io
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from snakemake.api import SnakemakeApi
from snakemake.cli import parse_args, parse_config
from snakemake.dag import DAG
from snakemake.exceptions import WorkflowError
from snakemake.io import is_flagged
from snakemake.jobs import Job as SnakemakeJob
from snakemake.resources import Resources
from snakemake.settings.types import (
    ConfigSettings,
    DAGSettings,
    DeploymentMethod,
    DeploymentSettings,
    ExecutionSettings,
    OutputSettings,
    ResourceSettings,
    WorkflowSettings,
)

from nep.errors import InputError
from nep.plan.reasons import Reason, reasons_of

TARGET = "plan"
LOCAL_EXECUTORS = ("local", "dryrun", "touch")


@dataclass(frozen=True)
class Job:
    """One job of the workflow. `stage` is the name of its rule file; `runs` whether it is to run, for which `reasons`;
    `local` whether it runs where Snakemake does; `in_a_row` how many of its rule one submission does in turn."""

    rule: str
    stage: str
    wildcards: dict[str, str]
    runs: bool
    reasons: tuple[Reason, ...]
    threads: int
    resources: dict[str, Any]
    outputs: tuple[Path, ...]
    benchmark: Path | None
    local: bool
    in_a_row: int = 1

    @property
    def name(self) -> str:
        """The rule with its wildcards."""
        return " ".join([self.rule, *self.wildcards.values()])


@dataclass(frozen=True)
class DryRun:
    """Jobs in the order of the rules; `open_ended` are rules after which Snakemake will know of more jobs."""

    jobs: tuple[Job, ...]
    executor: str
    open_ended: tuple[str, ...]

    @property
    def on_this_machine(self) -> bool:
        """Whether jobs run here and are not handed to a scheduler."""
        return self.executor in LOCAL_EXECUTORS

    def to_run(self) -> list[Job]:
        """The jobs that would run."""
        return [job for job in self.jobs if job.runs]


def asked_for(command: Sequence[str]) -> set[str]:
    """Targets of a Snakemake command line (program name excluded)."""
    return set(_options(command).targets)


def dry_run(command: Sequence[str], targets: set[str]) -> DryRun:
    """Plan `targets` as Snakemake would with the options of `command`. Takes no lock, writes nothing.

    Raises InputError with Snakemake's own words where it cannot plan, as for a missing input.
    """
    options = _options(command)
    executor = options.executor or "local"
    deployment = set(options.software_deployment_method) | ({DeploymentMethod.CONDA} if options.use_conda else set())
    with SnakemakeApi(OutputSettings(log_level_override=logging.WARNING, enable_file_logging=False)) as api:
        try:
            workflow = api.workflow(
                resource_settings=_resources(options, executor),
                config_settings=ConfigSettings(config=parse_config(options.config), configfiles=options.configfile),
                workflow_settings=WorkflowSettings(),
                deployment_settings=DeploymentSettings(deployment_method=deployment, conda_prefix=options.conda_prefix),
                snakefile=options.snakefile,
            )
            settings = DAGSettings(
                targets=targets,
                forceall=options.forceall,
                forcerun=options.forcerun,
                until=options.until,
                omit_from=options.omit_from,
                force_incomplete=options.rerun_incomplete,
                rerun_triggers=options.rerun_triggers,
            )
            workflow.dag(settings).execute_workflow(executor="dryrun", execution_settings=ExecutionSettings(lock=False))
            dag = workflow._workflow.dag
            together = {rule: options.group_components.get(group, 1) for rule, group in options.groups.items()}
            return DryRun(_jobs(dag, together), executor, _open_ended(dag))
        except (WorkflowError, OSError) as error:
            raise InputError(f"Snakemake cannot plan this: {error}") from None


def _options(command: Sequence[str]) -> Any:
    """The options with those of the profile; that a profile is used, the first reading of the same words has said."""
    with contextlib.redirect_stderr(io.StringIO()):
        _, options = parse_args(list(command))
    return options


def _resources(options: Any, executor: str) -> ResourceSettings:
    """As the command line and its profile set them; a scheduler's jobs have Snakemake's own defaults besides."""
    default = options.default_resources
    if default is None and executor not in LOCAL_EXECUTORS:
        default = Resources.default("full")
    return ResourceSettings(
        cores=options.cores,
        nodes=options.jobs,
        max_threads=options.max_threads,
        resources=options.resources,
        overwrite_threads=options.set_threads,
        overwrite_resource_scopes=options.set_resource_scopes,
        overwrite_resources=options.set_resources,
        default_resources=default,
    )


def _jobs(dag: DAG, together: Mapping[str, int]) -> tuple[Job, ...]:
    """`together`: rule → how many of its jobs are submitted as one."""
    order = {rule.name: place for place, rule in enumerate(dag.workflow.rules)}
    found = [_job(job, dag) for job in dag.jobs if job.rule.shellcmd]
    running = Counter(job.rule for job in found if job.runs)
    jobs = [replace(job, in_a_row=max(1, min(together.get(job.rule, 1), running[job.rule]))) for job in found]
    return tuple(sorted(jobs, key=lambda job: (order[job.rule], job.name)))


def _job(job: SnakemakeJob, dag: DAG) -> Job:
    runs = dag.needrun(job)
    makers = {file: made.rule.name for made, files in dag.dependencies[job].items() for file in files}
    return Job(
        rule=job.rule.name,
        stage=Path(job.rule.snakefile).stem,
        wildcards=dict(job.wildcards_dict),
        runs=runs,
        reasons=tuple(reasons_of(dag.reason(job), job.params, makers)) if runs else (),
        threads=job.threads,
        resources={name: value for name, value in job.resources.items() if not name.startswith("_")},
        outputs=tuple(Path(file) for file in job.output),
        benchmark=Path(job.benchmark) if job.benchmark else None,
        local=job.rule.name in dag.workflow._localrules,
    )


def _open_ended(dag: DAG) -> tuple[str, ...]:
    waited_for = {
        made.rule.name
        for made_by in dag.dependencies.values()
        for made, files in made_by.items()
        if dag.needrun(made) and any(is_flagged(file, "checkpoint_target") for file in files)
    }
    return tuple(sorted(waited_for))
