"""Checkpoints that are complete or absent: written aside by all processes, then renamed by the leading one."""

import math
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal

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
        if self._distributed.is_main_process:
            folder.mkdir(parents=True, exist_ok=True)
            clear_leftovers(folder)
        self._distributed.barrier()

    def steps(self) -> list[int]:
        """Steps of the complete checkpoints, oldest first."""
        return sorted(int(path.name.removeprefix(PREFIX)) for path in self._folder.glob(f"{PREFIX}*"))

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
        return steps[-1]

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
        stop, busy = self._distributed.all_reduce_sum([is_requested(), self._writer.is_busy])
        if not busy:
            self._finish()
        to_compare = training.publish == "best" and is_due(step, training.validate_every, steps)
        if stop or to_compare or is_due(step, training.checkpoint_every, steps):
            self.save(step)
        if stop or step == steps:
            self._finish()
        if stop:
            if self._distributed.is_main_process:
                print(f"stopped after step {step} of {steps}; run the same command to resume", file=sys.stderr)
            raise Preempted

    def save(self, step: int) -> None:
        """Take the state after `step`; it is written while training goes on. All processes must call it."""
        self._finish()
        self._engine.deepspeed.save_checkpoint(
            str(self._folder / WORKSPACE), tag=f"{PREFIX}{step}", save_latest=False, exclude_frozen_parameters=True
        )
        self._unfinished = step

    def _finish(self) -> None:
        """Wait for the checkpoint under way, give it its name, and drop old ones."""
        if self._unfinished is None:
            return
        step, self._unfinished = self._unfinished, None
        self._writer.wait()
        self._raise_together(self._writer.error(), step)
        if self._distributed.is_main_process:
            workspace, name = self._folder / WORKSPACE, f"{PREFIX}{step}"
            _flush(workspace / name)
            (workspace / name).rename(self._folder / name)
            _flush(self._folder)
            for old in self._surplus():
                # Out of the way first, so that a kill during the deletion leaves no half checkpoint under its name.
                (self._folder / f"{PREFIX}{old}").rename(workspace / f"{PREFIX}{old}")
            shutil.rmtree(workspace)

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
