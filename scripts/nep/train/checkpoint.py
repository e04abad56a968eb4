"""Checkpoints that are complete or absent: written aside by all processes, then renamed by the leading one."""

import os
import shutil
from pathlib import Path

from nep.errors import InputError
from nep.train.engine import Engine

KEPT = 2
PREFIX = "step-"
WORKSPACE = ".partial"


class Checkpoints:
    """The checkpoints of one recipe in one folder; the newest `KEPT` stay.

    A checkpoint holds weights and optimiser state. Everything else of a run is a function of (seed, step).
    """

    def __init__(self, folder: Path, engine: Engine) -> None:
        self._folder = folder
        self._engine = engine
        self._world = engine.world
        if self._world.leads:
            folder.mkdir(parents=True, exist_ok=True)
            clear_leftovers(folder)
        self._world.barrier()

    def steps(self) -> list[int]:
        """Steps of the complete checkpoints, oldest first."""
        return sorted(int(path.name.removeprefix(PREFIX)) for path in self._folder.glob(f"{PREFIX}*"))

    def restore(self) -> int:
        """Load the newest checkpoint and return its step; 0 when there is none."""
        steps = self.steps()
        if not steps:
            return 0
        # Frozen parameters are not in the checkpoint: they come from the start model.
        loaded, _ = self._engine.deepspeed.load_checkpoint(
            str(self._folder), tag=f"{PREFIX}{steps[-1]}", load_module_strict=False
        )
        if loaded is None:
            raise InputError(f"{self._folder}/{PREFIX}{steps[-1]}: cannot be loaded; delete it to resume before it")
        return steps[-1]

    def save(self, step: int) -> None:
        """Write the state after `step`, then drop all but the newest checkpoints. All processes must call it."""
        name = f"{PREFIX}{step}"
        workspace = self._folder / WORKSPACE
        self._engine.deepspeed.save_checkpoint(
            str(workspace), tag=name, save_latest=False, exclude_frozen_parameters=True
        )
        self._world.barrier()
        if self._world.leads:
            _flush(workspace / name)
            (workspace / name).rename(self._folder / name)
            for old in self.steps()[:-KEPT]:
                # Out of the way first, so that a kill during the deletion leaves no half checkpoint under its name.
                (self._folder / f"{PREFIX}{old}").rename(workspace / f"{PREFIX}{old}")
            shutil.rmtree(workspace)
        self._world.barrier()


def clear_leftovers(folder: Path) -> None:
    """Remove the temporary folders that a killed run left in `folder`."""
    for path in folder.glob(".*"):
        if path.is_dir():
            shutil.rmtree(path)


def _flush(folder: Path) -> None:
    for path in folder.iterdir():
        with path.open("rb") as stream:
            os.fsync(stream.fileno())
