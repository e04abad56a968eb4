"""What Snakemake would ask a scheduler for: `group_times.py <snakemake options>`, in the folder of a workflow.

Prints, as JSON, for every group of jobs of a first run its rule, its number of jobs, and its minutes by attempt.
"""

import json
import sys
from typing import Any

from snakemake.api import SnakemakeApi
from snakemake.cli import parse_args
from snakemake.dag import DAG
from snakemake.resources import Resources
from snakemake.settings.types import (
    ConfigSettings,
    DAGSettings,
    ExecutionSettings,
    GroupSettings,
    OutputSettings,
    ResourceSettings,
    WorkflowSettings,
)

ATTEMPTS = (1, 2, 3)


def minutes_by_group(dag: DAG) -> list[dict[str, Any]]:
    """Rule, number of jobs, and minutes by attempt of each group."""
    found = []
    for group in {id(group): group for group in map(dag.get_job_group, dag.needrun_jobs()) if group}.values():
        (rule,) = group.rules
        minutes = []
        for attempt in (*ATTEMPTS, 1):
            group.attempt = attempt
            minutes.append(group.resources.runtime)
        found.append({"rule": rule, "jobs": len(group.jobs), "minutes": minutes[:-1]})
    return found


def main() -> None:
    found: list[list[dict[str, Any]]] = []
    update_groups = DAG.update_groups

    def look(dag: DAG) -> None:
        update_groups(dag)
        found.append(minutes_by_group(dag))

    # As they are before anything runs: a dry run goes on as if jobs had ended, and regroups the rest.
    DAG.update_groups = look
    _, options = parse_args(sys.argv[1:])
    with SnakemakeApi(OutputSettings(enable_file_logging=False)) as api:
        workflow = api.workflow(
            resource_settings=ResourceSettings(
                cores=options.cores,
                nodes=options.jobs,
                resources=options.resources,
                overwrite_resource_scopes=options.set_resource_scopes,
                overwrite_resources=options.set_resources,
                default_resources=options.default_resources or Resources.default("full"),
            ),
            config_settings=ConfigSettings(configfiles=options.configfile),
            workflow_settings=WorkflowSettings(),
        )
        workflow.dag(DAGSettings()).execute_workflow(
            executor="dryrun",
            execution_settings=ExecutionSettings(lock=False),
            group_settings=GroupSettings(overwrite_groups=options.groups, group_components=options.group_components),
        )
    print(json.dumps(found[0]))


if __name__ == "__main__":
    main()
