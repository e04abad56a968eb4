"""Files of the data sets, below the folder `convert` of a run."""

# SFT reads a list, GRPO one row a line.
SUFFIXES = {"sft": ".json", "grpo": ".jsonl"}
VALIDATION = ".validation"


def dataset_file(stage: str, name: str) -> str:
    """The file of a data set that a stage trains on; those of GRPO hold the held-out samples, too."""
    return f"{stage}/{name}{SUFFIXES[stage]}"


def validation_file(name: str) -> str:
    """The file of an SFT data set's held-out samples."""
    return dataset_file("sft", f"{name}{VALIDATION}")
