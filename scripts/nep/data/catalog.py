"""Which data sets a run has, by the stage that trains on them: known before any of them is made."""

from nep.config.whole import Config
from nep.data.own_questions import FULL_MC_QA
from nep.data.questions import NEXT_CAPTION_MC, NEXT_EVENT_MC, answered_sets
from nep.data.sft_sets import MIXED_SETS, SFT_SETS
from nep.data.written_questions import WRITTEN_MC
from nep.errors import InputError, did_you_mean


def dataset_names(hops: list[int], written: bool) -> dict[str, list[str]]:
    """Names of the sets for `sft` and for `grpo`, where questions have any of `hops` numbers of events.

    `written`: whether the stage `questions` writes questions, too.
    """
    return {
        "sft": [*(entry.name for entry in (*SFT_SETS, *MIXED_SETS)), *answered_sets(hops)],
        "grpo": [NEXT_EVENT_MC, NEXT_CAPTION_MC, FULL_MC_QA, *([WRITTEN_MC] if written else [])],
    }


def check_datasets(config: Config) -> None:
    """Raise InputError where an experiment names a data set that its stage does not have."""
    for stage, known in dataset_names(config.convert.hops, config.questions is not None).items():
        for name, experiment in config.experiments.items():
            block = getattr(experiment, stage)
            for unknown in sorted(set(block.datasets if block else []) - set(known)):
                choices = f"there are {', '.join(known)} (the numbers of hops are those of convert.hops)"
                hint = " ".join(filter(None, (did_you_mean(unknown, known), choices)))
                raise InputError(f"experiments.{name}.{stage}.datasets: '{unknown}' is no data set of {stage}; {hint}")
