"""Fine-tune a model on the converted data sets.

`python` for one process, `launch_training.py --nproc_per_node n` for n.
"""

from nep.cli import run_entry_point
from nep.train.runtime import preemption


def main() -> None:
    """Read the options and train."""
    # Before the imports that take seconds: a signal that comes early is not lost.
    preemption.listen()
    from nep.config.sft import Sft
    from nep.train.runtime.options import read_training_options
    from nep.train.sft import train_sft

    options = read_training_options(__doc__, Sft)
    train_sft(options.recipe, options.seed, options.experiment, options.paths)


if __name__ == "__main__":
    run_entry_point(main)
