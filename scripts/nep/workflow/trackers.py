"""Whether the packages of the metric trackers that a configuration asks for are installed."""

from importlib.util import find_spec

from nep.config.training import Training
from nep.config.whole import Config
from nep.errors import InputError


def check_trackers(config: Config) -> None:
    """Raises InputError where an experiment's tracker cannot be used in the environment of this process."""
    for name, experiment in config.experiments.items():
        for stage in ("sft", "grpo"):
            if (training := getattr(experiment, stage)) is not None:
                check_tracker(f"experiments.{name}.{stage}", training)


def check_tracker(block: str, training: Training) -> None:
    """Raises InputError where the package of the tracker that `block` of the configuration names is not installed."""
    if training.tracker != "none" and find_spec(training.tracker) is None:
        raise InputError(
            f"{block}.tracker: '{training.tracker}' needs the package {training.tracker}, which is not installed in "
            f"this environment; pip install {training.tracker}, or take 'none'"
        )
