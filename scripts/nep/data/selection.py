"""Which rows of its data sets an experiment trains on: the trainers and the exports take the same ones."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from nep.config.training import Training
from nep.data.draw import take_first_by_hash
from nep.errors import InputError
from nep.layout.datasets import VALIDATION, dataset_file
from nep.layout.segments import segment_path
from nep.rows.base import read_rows
from nep.rows.dataset import DatasetRow, GrpoRow, Part, SftRow, read_sft

RowT = TypeVar("RowT", bound=DatasetRow)


def dataset_files(stage: str, training: Training, convert: Path) -> dict[str, Path]:
    """The file of each data set of a stage. Raises InputError naming the sets that exist when one does not."""
    files = {name: convert / dataset_file(stage, name) for name in training.datasets}
    for name, path in files.items():
        if not path.is_file():
            known = sorted(item.stem for item in path.parent.glob(f"*{path.suffix}") if "." not in item.stem)
            raise InputError(
                f"{stage}.datasets: no data set {name!r} ({path}); there are: {', '.join(known) or 'none'}"
            )
    return files


def select_sft(files: Mapping[str, Path], sft: Training, seed: int) -> dict[str, list[SftRow]]:
    """The first N rows of each data set, in the order of a hash; N is the recipe's."""
    return {name: _first(read_sft(path), name, sft, seed) for name, path in files.items()}


def validation_of(file: Path) -> Path:
    """Where the held-out samples of an SFT data set lie."""
    return file.with_suffix(f"{VALIDATION}{file.suffix}")


def select_sft_validation(files: Mapping[str, Path], samples: int, seed: int) -> dict[str, list[SftRow]]:
    """The first `samples` rows of each data set's validation file, in the order of a hash."""
    rows = {name: read_sft(validation_of(path)) for name, path in files.items()}
    return {name: take_first_by_hash(found, samples, seed) for name, found in rows.items()}


def select_grpo(
    files: Mapping[str, Path], grpo: Training, validation_samples: int, seed: int
) -> dict[Part, list[GrpoRow]]:
    """The first N rows of each data set's training part, in the order of a hash; of its validation part the first
    `validation_samples` by such an order, in that of the file."""
    rows: dict[Part, list[GrpoRow]] = {"train": [], "validation": []}
    for name, path in files.items():
        found = read_rows(GrpoRow, path)
        rows["train"] += _first([row for row in found if row.part == "train"], name, grpo, seed)
        held_out = [row for row in found if row.part == "validation"]
        asked = {row.id for row in take_first_by_hash(held_out, validation_samples, seed)}
        rows["validation"] += [row for row in held_out if row.id in asked]
    return rows


def second_part(row: GrpoRow) -> GrpoRow:
    """The same question about the second part of its video, by which its visual gain is measured."""
    return replace(row, view="second", videos=(segment_path("second", row.video_id),))


def _first(rows: list[RowT], name: str, training: Training, seed: int) -> list[RowT]:
    return take_first_by_hash(rows, training.datasets[name], seed, training.balance_sources)
