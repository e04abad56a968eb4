"""Train a model by GRPO on multiple-choice questions.

`python` for one process, `launch_training.py --nproc_per_node n` for n.
"""

from nep.cli import run_entry_point
from nep.train.runtime import preemption


def main() -> None:
    """Read the options and train."""
    # Before the imports that take seconds: a signal that comes early is not lost.
    preemption.listen()
    from nep.config.grpo import Grpo
    from nep.train.rl.grpo import train_grpo
    from nep.train.runtime.options import read_training_options

    options = read_training_options(__doc__, Grpo)
    train_grpo(options.recipe, options.seed, options.experiment, options.paths)


if __name__ == "__main__":
    run_entry_point(main)
