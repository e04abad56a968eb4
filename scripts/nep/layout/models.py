"""Names of a run's models, and their folders below the run's."""

from pathlib import Path

BASE = "base"
# Between an experiment's name, which cannot hold it, and the seed of one of its trainings.
SEED_MARK = "@"
# The stages of an experiment, in their order; their names are those of its config blocks.
TRAINING_STAGES = ("sft", "grpo")
# As people read them.
STAGE_NAMES = {BASE: "Base", "sft": "SFT", "grpo": "GRPO"}


def training_name(experiment: str, seed: int | None) -> str:
    """An experiment's name, or name and seed where it is trained with several seeds: what stands for `experiment` in
    the names of models, folders and files."""
    return experiment if seed is None else f"{experiment}{SEED_MARK}{seed}"


def experiment_and_seed(training: str) -> tuple[str, int | None]:
    """What `training_name` was made of."""
    experiment, _, seed = training.partition(SEED_MARK)
    return experiment, int(seed) if seed else None


def model_name(experiment: str, stage: str) -> str:
    """Name of the model that a stage of an experiment trains."""
    return f"{experiment}-{stage}"


def experiment_and_stage(name: str) -> tuple[str, str]:
    """What trains the model of this name; for the base, its name twice."""
    experiment, _, stage = name.rpartition("-")
    return (BASE, BASE) if name == BASE else (experiment, stage)


def model_folder(name: str) -> str:
    """Checkpoint folder of a model."""
    return f"models/{BASE}" if name == BASE else f"{'/'.join(experiment_and_stage(name))}/model"


def model_manifest(name: str) -> str:
    """Manifest file of a model."""
    return f"models/{BASE}.manifest.json" if name == BASE else f"{'/'.join(experiment_and_stage(name))}/manifest.json"


def trained_in(run: Path) -> list[str]:
    """Names of the models that the run's folder holds a manifest of, by experiment, its stages in their order."""
    experiments = sorted({manifest.parents[1].name for manifest in run.glob("*/*/manifest.json")})
    names = [model_name(experiment, stage) for experiment in experiments for stage in TRAINING_STAGES]
    return [name for name in names if (run / model_manifest(name)).is_file()]
