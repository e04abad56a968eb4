"""To what size a frame is brought: within the pixel budget, or the one size that a model family takes."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision.transforms.functional import InterpolationMode, resize
from transformers import BaseVideoProcessor

from nep.config.vision import Vision
from nep.model.frame_sampling import frame_budget, resized_size


class Resizing(Protocol):
    """Resizes RGB frames (H, W, 3) uint8 of a clip of `count` frames."""

    def __call__(self, frame: NDArray[np.uint8], vision: Vision, count: int) -> NDArray[np.uint8]:
        """The frame in its new size."""

    @property
    def recipe(self) -> dict[str, Any]:
        """What decides the result, for fingerprints."""


@dataclass(frozen=True)
class WithinBudget:
    """Multiples of `factor` (patch size × merge size) pixels within the bounds of config block `vision`."""

    factor: int

    def __call__(self, frame: NDArray[np.uint8], vision: Vision, count: int) -> NDArray[np.uint8]:
        """As qwen_vl_utils does it."""
        height, width, _ = frame.shape
        return resize_frame(frame, resized_size(height, width, self.factor, frame_budget(vision, count, self.factor)))

    @property
    def recipe(self) -> dict[str, Any]:
        """The factor."""
        return {"factor": self.factor}


@dataclass(frozen=True)
class OwnSize:
    """The video processor's own rule; the bounds of config block `vision` have no say."""

    processor: BaseVideoProcessor

    def __call__(self, frame: NDArray[np.uint8], vision: Vision, count: int) -> NDArray[np.uint8]:
        """As the processor resizes a video of this one frame."""
        video = torch.from_numpy(frame).permute(2, 0, 1)[None]
        made = self.processor(
            videos=[video], do_sample_frames=False, do_rescale=False, do_normalize=False, return_tensors="pt"
        )
        (pixels,) = [value for name, value in made.items() if name.startswith("pixel_values")]
        return pixels[0, 0].permute(1, 2, 0).contiguous().numpy()

    @property
    def recipe(self) -> dict[str, Any]:
        """The processor's settings."""
        return {"processor": self.processor.to_dict()}


def resize_frame(frame: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Resize an RGB frame (H, W, 3) uint8 to `size` = (height, width): bicubic with antialias, rounded to uint8."""
    # In floats from the start: torchvision would make them of uint8 too, but after a slow change of layout.
    tensor = torch.from_numpy(frame).float().permute(2, 0, 1)
    resized = resize(tensor, list(size), interpolation=InterpolationMode.BICUBIC, antialias=True)
    return resized.clamp(0, 255).round().to(torch.uint8).permute(1, 2, 0).contiguous().numpy()
