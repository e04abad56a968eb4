"""Training on the DeepSpeed engine: SFT and GRPO share the engine, the samples, the checkpoints and the logs."""

import os

# Read once, when torch loads its OpenMP. Threads that wait by spinning make a shared machine several times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
