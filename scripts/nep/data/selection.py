"""Which rows of its data sets an experiment trains on: the trainers and the exports take the same ones."""

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from nep.config.training import Training
from nep.data.draw import take_first_by_hash
from nep.layout.datasets import VALIDATION
from nep.rows.base import read_rows
from nep.rows.dataset import DatasetRow, GrpoRow, Part, SftRow, read_sft

RowT = TypeVar("RowT", bound=DatasetRow)


def select_sft(files: Mapping[str, Path], sft: Training, seed: int) -> dict[str, list[SftRow]]:
    """The first N rows of each data set, in the order of a hash; N is the recipe's."""
    return {name: _first(read_sft(path), name, sft, seed) for name, path in files.items()}


def validation_of(file: Path) -> Path:
    """Where the held-out samples of an SFT data set lie."""
    return file.with_suffix(f"{VALIDATION}{file.suffix}")


def select_sft_validation(files: Mapping[str, Path], samples: int, seed: int) -> dict[str, list[SftRow]]:
    """The first `samples` rows of each data set's validation file, in the order of a hash."""
    rows = {name: read_sft(validation_of(path)) for name, path in files.items()}
    return {name: take_first_by_hash(found, samples, seed, False) for name, found in rows.items()}


def select_grpo(files: Mapping[str, Path], grpo: Training, seed: int) -> dict[Part, list[GrpoRow]]:
    """The first N rows of each data set's training part, in the order of a hash, and all of its validation part."""
    rows: dict[Part, list[GrpoRow]] = {"train": [], "validation": []}
    for name, path in files.items():
        found = read_rows(GrpoRow, path)
        rows["train"] += _first([row for row in found if row.part == "train"], name, grpo, seed)
        rows["validation"] += [row for row in found if row.part == "validation"]
    return rows


def _first(rows: list[RowT], name: str, training: Training, seed: int) -> list[RowT]:
    return take_first_by_hash(rows, training.datasets[name], seed, training.balance_sources)
