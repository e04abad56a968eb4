"""Names of SeedBench-R1, which `source` gives files to and `evaluate` asks."""

from typing import Literal

SEEDBENCH = "seedbench_r1"
SeedLevel = Literal["l1", "l2", "l3"]
