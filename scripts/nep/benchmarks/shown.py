"""What the report shows of a benchmark, from the file `<name>.yaml` beside this module.

No stage before the report reads these files, so that a title or a published figure runs no evaluation again.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict

from nep.benchmarks.registry import NAMES

FOLDER = Path(__file__).parent


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PublishedTable(_Entry):
    """What one source reports for one base model: accuracies in percent by split, by the name of the training.

    `model` says on what, `short` its size as it stands in names of checkpoints.
    """

    model: str
    short: str
    source: str
    rows: Mapping[str, Mapping[str, float]]


class Shown(_Entry):
    """A benchmark for people.

    Attributes:
        chance: accuracy of guessing in percent, None where questions differ in it.
        splits: names of its kinds of questions, where these are not what they are called.
        published: figures that stand beside a run's own for reference; none of them was measured here.
    """

    title: str
    chance: float | None = None
    splits: Mapping[str, str] = {}
    published: tuple[PublishedTable, ...] = ()


@cache
def shown(task: str) -> Shown:
    """What is known of a task; its own name, where it is none of the registry's."""
    if task not in NAMES:
        return Shown(title=task)
    return Shown.model_validate(yaml.safe_load((FOLDER / f"{task}.yaml").read_text(encoding="utf-8")))
