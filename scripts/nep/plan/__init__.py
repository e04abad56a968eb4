"""What a run would do, why, at what cost, and whether it can: `snakemake plan`."""
