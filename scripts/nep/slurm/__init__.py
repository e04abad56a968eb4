"""What the workflow needs on a Slurm cluster."""
