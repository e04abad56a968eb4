"""How a frame is shown: the display matrix of its file as one of eight turns and reflections."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray


@dataclass(frozen=True)
class Orientation:
    """From stored to shown pixels: rows and columns exchanged, then the order of columns, then of rows reversed."""

    transposed: bool = False
    left_right: bool = False
    up_down: bool = False

    @property
    def is_mirrored(self) -> bool:
        """Whether it is no turn: only few readers follow a reflection."""
        return (self.transposed + self.left_right + self.up_down) % 2 == 1

    def upright(self, pixels: NDArray[Any]) -> NDArray[Any]:
        """Stored pixels (H, W, …) as they are shown; a view."""
        shown = pixels.swapaxes(0, 1) if self.transposed else pixels
        return shown[:: -1 if self.up_down else 1, :: -1 if self.left_right else 1]


def orientation_of(frame: VideoFrame) -> Orientation:
    """The orientation that is nearest to a decoded frame's display matrix."""
    found = frame.side_data.get("DISPLAYMATRIX")
    if found is None:
        return Orientation()
    # A point (x, y) is shown at (a·x + c·y, b·x + d·y).
    a, b, _, c, d = (int(value) for value in np.frombuffer(bytes(found), dtype=np.int32)[:5])
    if abs(b) + abs(c) > abs(a) + abs(d):
        return Orientation(transposed=True, left_right=c < 0, up_down=b < 0)
    return Orientation(left_right=a < 0, up_down=d < 0)
