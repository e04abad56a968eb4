"""Steps whose loss or gradient is not a number: left out, written down, and the end of a run that has too many."""

import math
import sys
from collections.abc import Sequence
from pathlib import Path

from nep.errors import InputError
from nep.train.distributed import DistributedContext
from nep.train.runtime.step_log import StepLog

MOST_IN_A_ROW = 3


class Anomalies:
    """The steps that the engine has skipped, in `anomalies.jsonl` with the records of their batches."""

    def __init__(self, path: Path, start: int, distributed: DistributedContext) -> None:
        self.log = StepLog(path, start, distributed.is_main_process)
        self._is_main_process = distributed.is_main_process
        self._steps = list(self.log.kept_steps)

    def __len__(self) -> int:
        return len(self._steps)

    def check(self, step: int, loss: float, norm: float, records: Sequence[str]) -> None:
        """Note a step that `Engine.step` has skipped. Raises InputError for the third one in a row."""
        if math.isfinite(loss) and math.isfinite(norm):
            return
        # As text: JSON has no NaN.
        self.log.write({"step": step, "loss": str(loss), "grad_norm": str(norm), "records": list(records)})
        self._steps.append(step)
        if self._is_main_process:
            print(f"step {step} skipped: loss {loss}, gradient norm {norm}; see {self.log.path}", file=sys.stderr)
        if self._steps[-MOST_IN_A_ROW:] == list(range(step - MOST_IN_A_ROW + 1, step + 1)):
            raise InputError(
                f"{MOST_IN_A_ROW} steps in a row, up to {step}, had a loss or gradient that is not finite: "
                f"{self.log.path} names their records; lower the learning rate, or look at those records"
            )


def finite(value: float) -> float | None:
    """`value` as JSON can hold it: None where it is not finite."""
    return value if math.isfinite(value) else None
