"""The command line that the two training entry points share."""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar, get_args

from nep.config.base import EXECUTION_ONLY, load_block
from nep.config.grpo import Grpo
from nep.config.training import TrackerName, Training

Recipe = TypeVar("Recipe", bound=Training)


@dataclass(frozen=True)
class RunPaths:
    """The places of one training stage.

    Attributes:
        convert: the data sets. encode: the vision cache. index: the part of its index with the training's clips.
        model: the start model, and `model_manifest` its manifest.
        run: the root of the run, which holds the work folder. out: the stage's declared outputs.
    """

    convert: Path
    encode: Path
    index: Path
    model: Path
    model_manifest: Path
    run: Path
    out: Path


@dataclass(frozen=True)
class TrainingOptions(Generic[Recipe]):
    """What one training job is told: its config block, the seed, the experiment's name, and its places."""

    recipe: Recipe
    seed: int
    experiment: str
    paths: RunPaths


def read_training_options(description: str | None, block: type[Recipe]) -> TrainingOptions[Recipe]:
    """Parse `sys.argv`. Raises InputError for a recipe that does not fit `block`."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--recipe", required=True, help="the experiment's config block of this stage, as JSON")
    parser.add_argument("--checkpoint-minutes", type=int, required=True, help="0: after each step")
    parser.add_argument("--keep-checkpoints", type=int, required=True, help="number")
    parser.add_argument("--tracker", choices=get_args(TrackerName), required=True)
    if issubclass(block, Grpo):
        parser.add_argument("--rollout-environment", help="folder of vLLM's environment")
        parser.add_argument("--rollout-gpus", choices=("shared", "own"))
        parser.add_argument("--rollout-timeout-s", type=int)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--experiment", required=True)
    parser.add_argument("--convert-dir", type=Path, required=True)
    parser.add_argument("--encode-dir", type=Path, required=True)
    parser.add_argument("--index", type=Path, required=True, help="clips of the cache (JSON lines)")
    parser.add_argument("--model", type=Path, required=True, help="start model, an ordinary checkpoint folder")
    parser.add_argument("--model-manifest", type=Path, required=True, help="its manifest with the key 'fingerprint'")
    parser.add_argument("--run-dir", type=Path, required=True)
    parser.add_argument("--out-dir", type=Path, required=True)
    options = parser.parse_args()
    paths = RunPaths(
        convert=options.convert_dir,
        encode=options.encode_dir,
        index=options.index,
        model=options.model,
        model_manifest=options.model_manifest,
        run=options.run_dir,
        out=options.out_dir,
    )
    how = {name: value for name, value in vars(options).items() if name in EXECUTION_ONLY and value is not None}
    recipe = load_block(block, options.recipe, **how)
    return TrainingOptions(recipe, options.seed, options.experiment, paths)
