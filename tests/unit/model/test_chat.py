"""A checkpoint as a process with threads loads it."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

from nep.config.vision import Vision
from nep.model.chat import ChatModel


def test_models_that_threads_load_at_the_same_time_are_whole(tiny_checkpoint: Path) -> None:
    def load(_: int) -> ChatModel:
        return ChatModel(tiny_checkpoint, Vision(), torch.device("cpu"), torch.float32)

    with ThreadPoolExecutor(2) as pool:
        first, *others = [chat.model.state_dict() for chat in pool.map(load, range(4))]
    for other in others:
        assert all(torch.equal(other[name], weight) for name, weight in first.items())
