"""Checkpoints that are complete or absent: written aside by all processes, then renamed by the leading one."""

import math
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NoReturn

from torch import nn

from nep.errors import InputError
from nep.train.engine import Engine
from nep.train.runtime.checkpoint_writer import BackgroundWriter
from nep.train.runtime.preemption import Preempted, is_requested
from nep.train.schedule import is_due

PREFIX = "step-"
WORKSPACE = ".partial"


class Checkpoints:
    """The checkpoints of one recipe in one folder; the newest `keep_checkpoints` stay, and the best validated one.

    A checkpoint holds weights and optimiser state. Everything else of a run is a function of (seed, step).
    """

    def __init__(self, folder: Path, engine: Engine, measure: str, best: Literal["lowest", "highest"]) -> None:
        """`measure`: key of the validation's rows whose lowest or highest value is the best."""
        self._folder = folder
        self._engine = engine
        self._measure = measure
        self._choose = {"lowest": min, "highest": max}[best]
        self._measured: dict[int, float] = {}
        self._distributed = engine.distributed
        self._writer = BackgroundWriter()
        self._engine.deepspeed.checkpoint_engine.save = self._writer.save
        self._engine.deepspeed.module.register_state_dict_post_hook(_drop_frozen)
        self._unfinished: int | None = None
        # The step of the weights' newest checkpoint, finished or not, and when it was taken.
        self._saved, self._saved_at = 0, time.monotonic()
        if self._distributed.is_main_process:
            folder.mkdir(parents=True, exist_ok=True)
            clear_leftovers(folder)
        self._distributed.barrier()

    def steps(self) -> list[int]:
        """Steps of the complete checkpoints, oldest first."""
        return _steps_in(self._folder)

    def validated(self, row: dict[str, Any]) -> None:
        """Take note of a validation, on all processes alike; a value that is missing or not finite does not count."""
        value = row[self._measure]
        if value is not None and math.isfinite(value):
            self._measured[row["step"]] = value

    def best(self) -> int | None:
        """The step of the best validated checkpoint, the first of equal ones; None without any."""
        steps = [step for step in self.steps() if step in self._measured]
        return self._choose(steps, key=self._measured.__getitem__, default=None)

    def restore(self) -> int:
        """Load the newest checkpoint and return its step; 0 when there is none."""
        steps = self.steps()
        if not steps:
            return 0
        self._restore(steps[-1])
        self._saved = steps[-1]
        return self._saved

    def restore_published(self, last: int) -> int:
        """Load the weights that are the result of a run which has taken its `last` step, and return their step."""
        best = self.best() if self._engine.training.publish == "best" else None
        if best is None or best == last:
            return last
        self._restore(best)
        return best

    def _restore(self, step: int) -> None:
        folder = self._folder / f"{PREFIX}{step}"
        writers = len(list(folder.glob("*_optim_states.pt")))
        if writers in (0, self._distributed.size):
            self._load(folder)
        else:
            self._load_resized(folder)

    def _load(self, folder: Path) -> None:
        # Frozen parameters are not in the checkpoint: they come from the start model.
        loaded, _ = self._engine.deepspeed.load_checkpoint(
            str(folder.parent), tag=folder.name, load_module_strict=False
        )
        if loaded is None:
            raise InputError(f"{folder}: cannot be loaded; delete it to resume before it")
        self._engine.loaded()

    def _load_resized(self, folder: Path) -> None:
        """Load what another number of processes has written, by way of DeepSpeed's universal form."""
        universal = self._folder / WORKSPACE / folder.name
        if self._distributed.is_main_process:
            _convert(folder, universal)
        self._distributed.barrier()
        config = self._engine.deepspeed._config
        config.load_universal_checkpoint = True
        self._load(universal)
        config.load_universal_checkpoint = False
        self._distributed.barrier()
        if self._distributed.is_main_process:
            shutil.rmtree(self._folder / WORKSPACE)

    def after_step(self, step: int, steps: int) -> None:
        """Save where one is due, and where the run has been told to stop. All processes must call it after each step.

        Raises Preempted when the run was told to stop, and InputError when a checkpoint could not be written.
        """
        training = self._engine.training
        stop, busy, late = self._distributed.all_reduce_sum([is_requested(), self._writer.is_busy, self._is_late()])
        if not busy:
            self.finish()
        to_compare = training.publish == "best" and is_due(step, training.validate_every, steps)
        if late or to_compare or step == steps:
            self.save(step)
        if stop:
            self._stop(step, steps)
        if is_due(step, training.validate_every, steps):
            # A validation may take long, and the run may die in it.
            self.finish()

    def stop_if_told(self, step: int, steps: int) -> None:
        """Raise Preempted, with a checkpoint of `step`, where the run has been told to stop. For all processes alike,
        where no step is under way."""
        (stop,) = self._distributed.all_reduce_sum([is_requested()])
        if stop:
            self._stop(step, steps)

    def _stop(self, step: int, steps: int) -> NoReturn:
        if self._saved != step:
            self.save(step)
        self.finish()
        if self._distributed.is_main_process:
            print(f"stopped after step {step} of {steps}; run the same command to resume", file=sys.stderr)
        raise Preempted

    def _is_late(self) -> bool:
        """Whether the last checkpoint is older than it should be; the main process decides, as clocks differ."""
        age = time.monotonic() - self._saved_at
        return self._distributed.is_main_process and age >= 60 * self._engine.training.checkpoint_minutes

    def save(self, step: int) -> None:
        """Take the state after `step`; it is written while training goes on. All processes must call it."""
        self.finish()
        self._engine.deepspeed.save_checkpoint(
            str(self._folder / WORKSPACE), tag=f"{PREFIX}{step}", save_latest=False, exclude_frozen_parameters=True
        )
        self._unfinished = self._saved = step
        self._saved_at = time.monotonic()

    def finish(self) -> None:
        """Wait for the checkpoint under way, give it its name, and drop old ones. All processes must call it."""
        if self._unfinished is None:
            return
        step, self._unfinished = self._unfinished, None
        self._writer.wait()
        self._raise_together(self._writer.error(), step)
        if self._distributed.is_main_process:
            name = f"{PREFIX}{step}"
            _flush(self._folder / WORKSPACE / name)
            (self._folder / WORKSPACE / name).rename(self._folder / name)
            _flush(self._folder)
            _remove(self._folder, self._surplus())

    def _surplus(self) -> list[int]:
        best = self.best()
        return [step for step in self.steps()[: -self._engine.training.keep_checkpoints] if step != best]

    def _raise_together(self, error: BaseException | None, step: int) -> None:
        (failures,) = self._distributed.all_reduce_sum([error is not None])
        if not failures:
            return
        kept = f"the checkpoint of step {self.steps()[-1]} stays valid" if self.steps() else "there is none before it"
        reason = error or "another process could not write its part"
        raise InputError(f"checkpoint of step {step}: {reason}; {kept}") from error


def drop_checkpoints(folder: Path) -> None:
    """Remove all checkpoints: nothing is left to train. For the main process."""
    _remove(folder, _steps_in(folder))


def _steps_in(folder: Path) -> list[int]:
    return sorted(int(path.name.removeprefix(PREFIX)) for path in folder.glob(f"{PREFIX}*"))


def _remove(folder: Path, steps: Sequence[int]) -> None:
    """Remove checkpoints and the workspace."""
    workspace = folder / WORKSPACE
    workspace.mkdir(exist_ok=True)
    for step in steps:
        # Out of the way first, so that a kill during the deletion leaves no half checkpoint under its name.
        (folder / f"{PREFIX}{step}").rename(workspace / f"{PREFIX}{step}")
    shutil.rmtree(workspace)


def _drop_frozen(module: nn.Module, state: dict[str, Any], prefix: str, _metadata: Any) -> None:
    # DeepSpeed's `exclude_frozen_parameters` leaves them in under the second names of tied weights.
    for name, parameter in module.named_parameters(remove_duplicate=False):
        if not parameter.requires_grad:
            state.pop(prefix + name, None)


def clear_leftovers(folder: Path) -> None:
    """Remove the temporary folders that a killed run left in `folder`."""
    for path in folder.glob(".*"):
        if path.is_dir():
            shutil.rmtree(path)


def _convert(folder: Path, universal: Path) -> None:
    """Make the universal form of a checkpoint, in a process of its own as DeepSpeed's converter forks."""
    arguments = ["--input_folder", str(folder), "--output_folder", str(universal), "--inject_missing_state"]
    done = subprocess.run(
        [sys.executable, "-m", "deepspeed.checkpoint.ds_to_universal", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise InputError(f"{folder}: cannot be converted to another number of processes:\n{done.stderr[-2000:]}")


def _flush(folder: Path) -> None:
    """Bring the names in `folder` to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
