"""Write an experiment's data sets and recipe in the form of another training program."""

import argparse
from pathlib import Path

from nep.cli import run_entry_point
from nep.config.base import load_block
from nep.config.experiment import Experiment
from nep.config.vision import Vision
from nep.export.consumers import export_experiment
from nep.export.experiment import ExperimentExport
from nep.layout.exports import EXPORTED_STAGES


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--consumer", choices=EXPORTED_STAGES, required=True)
    parser.add_argument("--name", required=True, help="the experiment's name")
    parser.add_argument("--experiment", required=True, help="the experiment's config block as JSON")
    parser.add_argument("--vision", required=True, help="config block 'vision' as JSON")
    parser.add_argument("--prompts", type=Path, required=True, help="the prompts file")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--grpo-model", type=Path, required=True, help="checkpoint folder that GRPO starts from")
    parser.add_argument("--run-dir", type=Path, required=True, help="the run's folder")
    options = parser.parse_args()
    export_experiment(
        ExperimentExport(
            consumer=options.consumer,
            name=options.name,
            experiment=load_block(Experiment, options.experiment),
            vision=load_block(Vision, options.vision),
            prompts=options.prompts,
            seed=options.seed,
            grpo_model=options.grpo_model.relative_to(options.run_dir).as_posix(),
            run=options.run_dir,
        )
    )


if __name__ == "__main__":
    run_entry_point(main)
