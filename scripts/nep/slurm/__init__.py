"""What the workflow needs on a Slurm cluster, and a Slurm of one's own on one machine to try it with."""
