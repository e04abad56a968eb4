"""Which data sets a run has, by the stage that trains on them: known before any of them is made."""

import itertools
from difflib import get_close_matches

from nep.config import Config
from nep.data.prompts import VARIANTS
from nep.data.questions import NEXT_EVENT_MC, answered_name
from nep.data.sft_sets import SFT_SETS
from nep.errors import InputError


def dataset_names(hops: list[int]) -> dict[str, list[str]]:
    """Names of the sets for `sft` and for `grpo`, where questions have any of `hops` numbers of events."""
    answered = [answered_name(*pair) for pair in itertools.product(VARIANTS, sorted(set(hops)))]
    return {"sft": [*(entry.name for entry in SFT_SETS), *answered], "grpo": [NEXT_EVENT_MC]}


def check_datasets(config: Config) -> None:
    """Raise InputError where an experiment names a data set that its stage does not have."""
    for stage, known in dataset_names(config.convert.hops).items():
        for name, experiment in config.experiments.items():
            block = getattr(experiment, stage)
            for unknown in sorted(set(block.datasets if block else []) - set(known)):
                close = get_close_matches(unknown, known, n=1)
                hint = f"did you mean '{close[0]}'? " if close else ""
                raise InputError(
                    f"experiments.{name}.{stage}.datasets: '{unknown}' is no data set of {stage}; {hint}"
                    f"there are {', '.join(known)} (the numbers of hops are those of convert.hops)"
                )
