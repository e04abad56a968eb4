"""A model of lmms-eval for every family that training takes, with the frames and pixels of the encode stage."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from lmms_eval.api.instance import Instance
from lmms_eval.api.model import lmms
from PIL.Image import Image

from nep.config.vision import Vision
from nep.encode.frames import decode_clip
from nep.evaluate.requests import messages_of, settings_of
from nep.model.chat import ChatModel
from nep.model.clip import Clip
from nep.model.quantized import Quantization
from nep.model.resizing import Resizing


class ChatLmms(lmms):
    """A model of lmms-eval that is asked in chat, by `generate_until` alone."""

    is_simple = False

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        """Not what multiple choice by generation needs."""
        raise NotImplementedError

    def generate_until_multi_round(self, requests: list[Instance]) -> list[str]:
        """Not what multiple choice by generation needs."""
        raise NotImplementedError


class FamilyModel(ChatLmms):
    """Greedy completions by the checkpoint's own processor and `generate`; in several processes, one for each GPU."""

    def __init__(
        self,
        pretrained: str,
        sampling: str,
        frames: int,
        fps: float,
        min_pixels: int,
        max_pixels: int,
        device: str = "cuda",
        batch_size: int = 1,
        dtype: str = "bfloat16",
        attn_implementation: str = "sdpa",
        quantize: Quantization | None = None,
    ) -> None:
        super().__init__()
        self.accelerator = Accelerator(cpu=device == "cpu")
        self.device = self.accelerator.device if self.accelerator.num_processes > 1 else torch.device(device)
        self._vision = Vision(sampling=sampling, frames=frames, fps=fps, min_pixels=min_pixels, max_pixels=max_pixels)
        self._chat = ChatModel(
            Path(pretrained), self._vision, self.device, getattr(torch, dtype), attn_implementation, quantize
        )
        self.processor = self._chat.processor
        self.model = self._chat.model
        self.batch_size = int(batch_size)

    def generate_until(self, requests: list[Instance]) -> list[str]:
        """One completion for each request, `batch_size` at a time."""
        starts = range(0, len(requests), self.batch_size)
        return [text for start in starts for text in self._complete(requests[start : start + self.batch_size])]

    def _complete(self, requests: Sequence[Instance]) -> list[str]:
        inputs = self._inputs([messages_of(request, self.task_dict) for request in requests])
        return self._chat.texts(self._chat.generate(inputs, settings_of(requests[0])["max_new_tokens"]))

    def _inputs(self, conversations: Sequence[list[dict[str, Any]]]) -> Any:
        return self._chat.inputs(conversations, *shown(conversations, self._vision, self._chat.resizing))


def shown(
    conversations: Sequence[list[dict[str, Any]]], vision: Vision, resizing: Resizing
) -> tuple[list[Clip], list[Image]]:
    """The clips, read and resized, and the images of conversations, in the order in which they are shown."""
    parts = [part for conversation in conversations for turn in conversation for part in turn["content"]]
    images = [part["url"] for part in parts if part["type"] == "image"]
    videos = [Path(part["url"]) for part in parts if part["type"] == "video"]
    return [decode_clip(path, vision, resizing) for path in videos], images
