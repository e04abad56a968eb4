"""Names of a run's models, and their folders below the run's."""

BASE = "base"
# The stages of an experiment, in their order; their names are those of its config blocks.
TRAINING_STAGES = ("sft", "grpo")


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
