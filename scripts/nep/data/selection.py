"""Which rows of its data sets an experiment trains on: the trainers and the exports take the same ones."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nep.data.draw import take_first_by_hash
from nep.data.inputs import Part
from nep.files import read_json, read_jsonl

Row = dict[str, Any]


def select_sft(files: Mapping[str, Path], counts: Mapping[str, int | None], seed: int) -> dict[str, list[Row]]:
    """Rows by data set: the first `counts[name]` of each in the order of a hash, all of them for None."""
    return {name: take_first_by_hash(read_json(path), counts[name], seed) for name, path in files.items()}


def select_grpo(files: Mapping[str, Path], counts: Mapping[str, int | None], seed: int) -> dict[Part, list[Row]]:
    """Rows of all data sets by part: of the training part at most `counts[name]`, of the validation part all."""
    rows: dict[Part, list[Row]] = {"train": [], "validation": []}
    for name, path in files.items():
        found = read_jsonl(path)
        rows["train"] += take_first_by_hash([row for row in found if row["part"] == "train"], counts[name], seed)
        rows["validation"] += [row for row in found if row["part"] == "validation"]
    return rows
