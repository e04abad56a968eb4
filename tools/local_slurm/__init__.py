"""A Slurm of one's own on one machine, to try the workflow with."""
