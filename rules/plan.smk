# INPUTS   none: the command line that asks for the plan, with its profile and configuration
# OUTPUTS  none: what would run, why, at what cost, and whether it can succeed, in the terminal


# It asks Snakemake itself, hence in the environment that Snakemake runs in.
rule plan:
    """What would run, why, at what cost, and whether this place holds what it needs. Starts none of it."""
    handover: True
    threads: 1
    resources:
        mem_mb=2000,
    params:
        run=run_folder,
        command=json.dumps(COMMAND),
        targets=planned_targets(),
        config=CONFIG.model_dump_json(),
    shell:
        r"""
        python scripts/plan_run.py \
            --command {params.command:q} \
            --targets {params.targets:q} \
            --config {params.config:q} \
            --run-dir {params.run:q}
        """
