# INPUTS   none: the command line that asks for the plan, with its profile and configuration
# OUTPUTS  none: what would run, why, at what cost, and whether the ground holds, in the terminal

from nep.plan.dry_run import TARGET, asked_for

PLAN_COMMAND = sys.argv[1:] if workflow.is_main_process else []
ASKED = asked_for(PLAN_COMMAND) if TARGET in PLAN_COMMAND else set()

if TARGET in ASKED:
    if len(ASKED) > 1:
        raise WorkflowError(f"'{TARGET}' is asked for alone: what stands beside it would run; it plans everything")
    # A plan needs no --cores.
    workflow.resource_settings.cores = workflow.resource_settings.cores or 1


def start_plan():
    """Leave the locks of runs alone: a plan may be made beside them."""
    # As with --nolock: a Snakemake that ends removes the locks of all others, too (FilePersistence._delete_locks).
    workflow.persistence.unlock = workflow.persistence.noop
    # A second try would say the same.
    workflow.execution_settings.retries = 0


# It asks Snakemake itself, hence in the environment that Snakemake runs in.
rule plan:
    """What would run, why, at what cost, and whether this place holds what it needs. Starts none of it."""
    handover: True
    threads: 1
    resources:
        mem_mb=2000,
    params:
        run=run_folder,
        command=json.dumps(PLAN_COMMAND),
        targets=planned_targets(),
        config=CONFIG.model_dump_json(),
    shell:
        "python scripts/plan_run.py --command {params.command:q} --targets {params.targets:q} --config {params.config:q}"
        " --run-dir {params.run}"
