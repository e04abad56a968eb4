"""Which rows of its data sets an experiment trains on: the trainers and the exports take the same ones."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nep.config import Grpo, Sft
from nep.data.draw import take_first_by_hash
from nep.data.inputs import Part
from nep.files import read_json, read_jsonl

Row = dict[str, Any]


def select_sft(files: Mapping[str, Path], sft: Sft, seed: int) -> dict[str, list[Row]]:
    """Rows by data set: of each as many as `sft.datasets` says, in the order of a hash; all of them for None."""
    return {
        name: take_first_by_hash(read_json(path), sft.datasets[name], seed, sft.balance_sources)
        for name, path in files.items()
    }


def select_grpo(files: Mapping[str, Path], grpo: Grpo, seed: int) -> dict[Part, list[Row]]:
    """Rows of all data sets by part: of the training part as many as `grpo.datasets` says, of validation all."""
    rows: dict[Part, list[Row]] = {"train": [], "validation": []}
    for name, path in files.items():
        found = read_jsonl(path)
        training = [row for row in found if row["part"] == "train"]
        rows["train"] += take_first_by_hash(training, grpo.datasets[name], seed, grpo.balance_sources)
        rows["validation"] += [row for row in found if row["part"] == "validation"]
    return rows
