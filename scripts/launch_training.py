"""Start a training script in several processes: `launch_training.py --nproc_per_node n train_sft.py …`, as torchrun."""

import sys

from nep.train.runtime.launcher import launch

if __name__ == "__main__":
    launch(sys.argv[1:])
