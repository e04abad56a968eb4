"""Start a training script in several processes: `launch_training.py --nproc_per_node n train_sft.py …`, as torchrun."""

import sys
from functools import partial

from nep.cli import run_entry_point
from nep.train.runtime.launcher import launch

if __name__ == "__main__":
    # The job is the script that it starts.
    run_entry_point(partial(launch, sys.argv[1:]), is_job=False)
