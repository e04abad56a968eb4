"""What each step of a run costs: tokens a second, FLOP utilisation, waiting for data, memory."""

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

import torch
from transformers import PreTrainedModel

from nep.model.packing import Tree
from nep.model.visual import Visuals
from nep.train.runtime.flops import measured_peak, training_flops
from nep.train.runtime.step_log import peak_memory_bytes

Item = TypeVar("Item")


class Meter:
    """Times the steps of a loop over prepared batches."""

    def __init__(self, model: PreTrainedModel, visuals: Visuals, device: torch.device, processes: int) -> None:
        self._model = model
        self._visuals = visuals
        self._device = device
        self._peak = measured_peak(device, model.dtype) * processes
        self._began = self._waited = 0.0

    def timed(self, batches: Iterable[Item]) -> Iterator[Item]:
        """The batches; a step begins when its batch is asked for."""
        iterator = iter(batches)
        while True:
            self._began = time.monotonic()
            batch = next(iterator, None)
            self._waited = time.monotonic() - self._began
            if batch is None:
                return
            yield batch

    def row(self, trees: Sequence[Tree], samples: int) -> dict[str, float]:
        """Costs of the step under way, to be asked for at its end; `trees` are those of all processes.

        `mfu` is the share of the devices' measured peak; a tree's tokens count once, however many branches share them.
        """
        if self._device.type == "cuda":
            torch.cuda.synchronize()
        seconds = time.monotonic() - self._began
        visual = sum(self._visuals.tokens(key) for tree in trees for key in tree.video_keys)
        return {
            "seconds": seconds,
            "data_wait_seconds": self._waited,
            "samples_per_second": samples / seconds,
            "visual_tokens_per_second": visual / seconds,
            "text_tokens_per_second": (sum(map(len, trees)) - visual) / seconds,
            "labelled_tokens_per_second": sum(tree.labelled for tree in trees) / seconds,
            "mfu": training_flops(self._model, trees) / seconds / self._peak,
            "peak_memory_bytes": peak_memory_bytes(),
        }
