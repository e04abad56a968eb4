"""The rows that trainings take of their data sets: what is to be encoded, and what each training then finds."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from nep.config.training import Training
from nep.data.selection import dataset_files, second_part, select_grpo, select_sft, select_sft_validation
from nep.rows.dataset import DatasetRow


@dataclass(frozen=True)
class Selection:
    """What decides which rows the training `name` of a stage takes: keys of its block, and the seed.

    `second_parts`: whether it also shows the second parts of its videos, to measure what they add to a question.
    `seed`: the training's own, None where it draws with the run's.
    """

    name: str
    stage: str
    datasets: dict[str, int | None]
    balance_sources: bool
    validation_samples: int
    second_parts: bool = False
    seed: int | None = None

    def rows(self, convert: Path, seed: int) -> Iterator[tuple[Path, DatasetRow]]:
        """The rows to train on and those that are held out, each with its file below RUN/convert. `seed`: the run's."""
        seed = seed if self.seed is None else self.seed
        training = Training.model_construct(datasets=self.datasets, balance_sources=self.balance_sources)
        for name, path in dataset_files(self.stage, training, convert).items():
            file = {name: path}
            if self.stage == "sft":
                taken = select_sft(file, training, seed)[name]
                held_out = select_sft_validation(file, self.validation_samples, seed)[name]
            else:
                parts = select_grpo(file, training, self.validation_samples, seed)
                taken, held_out = parts["train"], parts["validation"]
            measured = [second_part(row) for row in taken if row.view == "first"] if self.second_parts else []
            yield from ((path, row) for row in (*taken, *held_out, *measured))


def read_selections(text: str) -> Sequence[Selection]:
    """From the JSON that the workflow passes to an entry point."""
    return TypeAdapter(list[Selection]).validate_json(text)
