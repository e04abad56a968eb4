"""Metrics for programs that draw them: TensorBoard, Weights & Biases. Files below `trackers/`, no network.

What a tracker holds is a copy of a training's logs: it begins anew at each start with the rows that the logs have kept,
so that a run that goes on from a checkpoint has no step twice.
"""

import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nep.config.training import TrackerName

if TYPE_CHECKING:
    # It needs torch.
    from nep.train.runtime.step_log import StepLog

FOLDER = "trackers"


@dataclass(frozen=True)
class Tracked:
    """The training that is tracked. `run` is the root of the run; `fingerprint` that of the recipe."""

    run: Path
    experiment: str
    stage: str
    fingerprint: str
    recipe: Mapping[str, Any]

    @property
    def name(self) -> str:
        """How the training is called where the whole run is one project."""
        return f"{self.experiment}-{self.stage}"

    def folder(self, tracker: TrackerName) -> Path:
        """An empty folder of this training's own; what an earlier start has left there is removed."""
        folder = self.run / FOLDER / tracker / self.experiment / self.stage
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder


class Tracker(ABC):
    """Takes the rows of logs as figures named `<log>/<key>`, each at its step."""

    def follow(self, *logs: "StepLog") -> None:
        """Take over the rows that the logs have kept, in the order of their steps, and from now on every new one."""
        kept = [(row, log.path.stem) for log in logs for row in log.kept]
        for row, name in sorted(kept, key=lambda pair: pair[0]["step"]):
            self.take(name, row)
        for log in logs:
            log.followers.append(self.take)

    def take(self, name: str, row: Mapping[str, Any]) -> None:
        """One row of the log of this name; what is not a number, such as a loss that is not finite, is left out."""
        figures = {f"{name}/{key}": value for key, value in row.items() if key != "step" and value is not None}
        self.write(row["step"], figures)

    @abstractmethod
    def write(self, step: int, figures: Mapping[str, float]) -> None:
        """Keep the figures of a step; there may be several calls for one step."""

    @abstractmethod
    def close(self) -> None:
        """The training has ended."""


class NoTracker(Tracker):
    """Takes nothing: none is asked for, or this is not the main process."""

    def __init__(self, tracked: Tracked) -> None:
        pass

    def follow(self, *logs: "StepLog") -> None:
        pass

    def write(self, step: int, figures: Mapping[str, float]) -> None:
        pass

    def close(self) -> None:
        pass


class TensorBoard(Tracker):
    """An event file. To look: `tensorboard --logdir results/<run>/trackers/tensorboard`."""

    def __init__(self, tracked: Tracked) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(tracked.folder("tensorboard")))

    def write(self, step: int, figures: Mapping[str, float]) -> None:
        for name, value in figures.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()


class WandB(Tracker):
    """An offline run, to be sent by `wandb sync`; with WANDB_MODE=online, what it has not sent before is sent at once.

    Its id is that of the recipe: a run that goes on is the same one.
    """

    def __init__(self, tracked: Tracked) -> None:
        # Read when wandb is imported: it would report its own errors to its makers.
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        import wandb

        mode = os.environ.get("WANDB_MODE", "offline")
        self._run = wandb.init(
            project=tracked.run.name,
            name=tracked.name,
            id=f"{tracked.name}-{tracked.fingerprint}",
            config=dict(tracked.recipe),
            dir=str(tracked.folder("wandb")),
            mode=mode,
            resume="allow" if mode == "online" else None,
            settings=wandb.Settings(console="off", disable_git=True, save_code=False, silent=True),
        )

    def write(self, step: int, figures: Mapping[str, float]) -> None:
        self._run.log(dict(figures), step=step)

    def close(self) -> None:
        self._run.finish()


KINDS: dict[TrackerName, type[Tracker]] = {
    "none": NoTracker,
    "tensorboard": TensorBoard,
    "wandb": WandB,
}


def start_tracker(name: TrackerName, tracked: Tracked, is_main_process: bool) -> Tracker:
    """The tracker of this name; none except in the main process."""
    return KINDS[name if is_main_process else "none"](tracked)
