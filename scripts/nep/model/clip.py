"""What a model is shown of a clip."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Clip:
    """Sampled frames: uint8 (T, H, W, 3) RGB, time stamps in seconds, indices into the source's `total` frames."""

    frames: NDArray[np.uint8]
    pts: tuple[float, ...]
    indices: tuple[int, ...]
    total: int
    source_fps: float
